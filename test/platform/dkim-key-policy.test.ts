/** Keys that can sign as DKIM, and those that cannot. */
import { strict as assert } from 'node:assert';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { dkimKeyProblem } from '../../src/platform/dkim-key-policy.ts';

const PKCS8 = { type: 'pkcs8', format: 'pem' } as const;
const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength });
const pem = (text: string | Buffer): string => text.toString();
const small = rsa(512);
const usual = rsa(1024);

const ROWS: readonly (readonly [what: string, pem: string, problem: RegExp | null])[] = [
  ['RSA in PKCS #8', pem(usual.privateKey.export(PKCS8)), null],
  ['RSA in PKCS #1', pem(usual.privateKey.export({ type: 'pkcs1', format: 'pem' })), null],
  ['a short RSA key', pem(small.privateKey.export(PKCS8)), /512 bits/],
  ['Ed25519', pem(generateKeyPairSync('ed25519').privateKey.export(PKCS8)), /no RSA key/],
  ['a public key', pem(usual.publicKey.export({ type: 'spki', format: 'pem' })), /no private key/],
  ['an encrypted key', pem(usual.privateKey.export({ ...PKCS8, cipher: 'aes-256-cbc', passphrase: 'x' })), /encrypted/],
  ['nothing', '', /no private key/],
];
for (const [what, text, problem] of ROWS)
  test(`${what}: ${problem === null ? 'signs' : 'cannot sign'}`, () => {
    const found = dkimKeyProblem(text);
    if (problem === null) assert.equal(found, null);
    else assert.match(found ?? '', problem);
  });
