/**
 * Password hashes and sender patterns: what is written is read back, costs are bounded, nothing else passes.
 */
import { strict as assert } from 'node:assert';
import { scryptSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseScrypt, scryptText } from '../../src/config/scrypt-format.ts';
import { parseSender } from '../../src/config/sender-format.ts';
import type { Domain } from '../../src/domain/address.ts';

const bytes = (least: number, most: number) =>
  fc.uint8Array({ minLength: least, maxLength: most }).map((array) => Buffer.from(array).toString('base64'));

test('hashes are read back as written', () => {
  const hash = fc.record(
    {
      logN: fc.integer({ min: 13, max: 16 }),
      r: fc.constant(8),
      p: fc.integer({ min: 1, max: 2 }),
      salt: bytes(8, 64),
      hash: bytes(16, 64),
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(hash, (value) => assert.deepEqual(parseScrypt(scryptText(value)), { ok: true, value })));
});

test('every hash that passes can be computed with 72 MiB', () => {
  const digits = fc.integer({ min: 0, max: 99 });
  fc.assert(
    fc.property(digits, digits, digits, (logN, r, p) => {
      const parsed = parseScrypt(`$scrypt$ln=${logN},r=${r},p=${p}$${'A'.repeat(22)}$${'A'.repeat(43)}`);
      if (!parsed.ok) return;
      assert.ok(logN >= 1 && r >= 1 && p >= 1);
      assert.ok(128 * r * (2 ** logN + p) <= 72 * 2 ** 20, `ln=${logN},r=${r},p=${p}`);
    }),
    { numRuns: 2000 },
  );
});

const SALT = 'c2FsdHNhbHRzYWx0c2FsdA';
const HASH = 'aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g';
const hashes: readonly (readonly [text: string, passes: boolean])[] = [
  [`$scrypt$ln=15,r=8,p=1$${SALT}$${HASH}`, true],
  [`$scrypt$ln=15,r=8,p=1$${SALT}==$${HASH}=`, true],
  [`$scrypt$ln=13,r=8,p=1$${SALT}$${HASH}`, true],
  [`$scrypt$ln=12,r=8,p=1$${SALT}$${HASH}`, false],
  [`$scrypt$ln=17,r=8,p=1$${SALT}$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=99$${SALT}$${HASH}`, false],
  [`$scrypt$ln=0,r=99,p=99$${SALT}$${HASH}`, false],
  [`$scrypt$ln=15,p=1,r=8$${SALT}$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=1$c2FsdA$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=1$${SALT}$aGFzaA`, false],
  // The last character holds bits that no byte has: two spellings of one hash.
  [`$scrypt$ln=15,r=8,p=1$${SALT.slice(0, -1)}B$${HASH}`, false],
  [`$scrypt$ln=15,r=8,p=1$${SALT}$${HASH} `, false],
  [`$2b$12$${HASH}`, false],
  ['password', false],
  ['', false],
];
for (const [text, passes] of hashes) {
  test(`hash ${JSON.stringify(text)} ${passes ? 'passes' : 'is refused'}`, () => assert.equal(parseScrypt(text).ok, passes));
}

test('a hash made by node:crypto is recognized again', () => {
  const [salt, cost] = [Buffer.from('sixteen bytes ok'), { N: 2 ** 13, r: 8, p: 1 }];
  const made = scryptSync('secret', salt, 32, cost);
  const text = scryptText({ logN: 13, r: 8, p: 1, salt: salt.toString('base64'), hash: made.toString('base64') });
  const parsed = parseScrypt(text);
  assert.ok(parsed.ok);
  const { hash, salt: back } = parsed.value;
  assert.deepEqual(scryptSync('secret', Buffer.from(back, 'base64'), Buffer.from(hash, 'base64').length, cost), made);
});

const exact = (domain: string) => ({ kind: 'exact' as const, domain: domain as Domain });
const senders: readonly (readonly [text: string, want: unknown])[] = [
  ['app@Example.org', { localPart: 'app', domain: exact('example.org') }],
  ['*@bücher.example', { localPart: null, domain: exact('xn--bcher-kva.example') }],
  ['*@*.example.org', { localPart: null, domain: { kind: 'below', domain: 'example.org' } }],
  ['*@*', { localPart: null, domain: { kind: 'any' } }],
  ['*', null],
  ['example.org', null],
  ['*.example.org', null],
  ['app*@example.org', null],
  ['app@*.example.org', null],
  ['app@*', null],
  ['app@', null],
  ['@example.org', null],
  ['a@b@example.org', null],
  ['', null],
];
for (const [text, want] of senders) {
  test(`sender ${JSON.stringify(text)}: ${want === null ? 'refused' : 'means that'}`, () => {
    const parsed = parseSender(text);
    assert.deepEqual(parsed.ok ? parsed.value : null, want);
  });
}
