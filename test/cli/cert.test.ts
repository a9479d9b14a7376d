import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cert } from '../../src/cli/cert.ts';
import { stsPolicy } from '../../src/cli/publish-format.ts';
import { ianaName, tlsOffer } from '../../src/cli/suite-format.ts';
import type { Instant } from '../../src/domain/basics.ts';
import { namePatternText } from '../../src/domain/peer.ts';
import { parsePolicy, parseStsRecords } from '../../src/security/mta-sts-format.ts';
import { createAuthority } from '../support/certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-cert-'));
after(() => rmSync(folder, { recursive: true, force: true }));
mkdirSync(join(folder, 'config'));
const authority = createAuthority('Cert Command');
const DAY = 86_400_000;
const names = ['mx1.example.org'];
const now = authority.issueTo(folder, 'now', { names, keyType: 'rsa' });
const laterDates = { notBefore: new Date(Date.now() + 3 * DAY), notAfter: new Date(Date.now() + 90 * DAY) };
const later = authority.issueTo(folder, 'later', { names, keyType: 'rsa', usages: ['serverAuth', 'clientAuth'], ...laterDates });

type Ran = { readonly code: number; readonly out: string; readonly err: string };
async function run(yaml: string, more: { readonly pem?: boolean; readonly json?: boolean } = {}): Promise<Ran> {
  const file = join(folder, 'config', 'postern.yaml');
  writeFileSync(file, `hostname: mx1.example.org\nacceptedDomains: [example.org, "*.example.net"]\n${yaml}`);
  const out: string[] = [];
  const err: string[] = [];
  const terminal = {
    columns: null,
    now: () => Date.now() as Instant,
    write: async (text: string | Uint8Array) => void out.push(text.toString()),
    complain: (text: string) => void err.push(text),
  };
  const code = await cert({ config: file, pem: false, json: false, ...more }, terminal);
  return { code, out: out.join(''), err: err.join('\n') };
}

const LISTENER = 'listeners: [{ name: mx, address: "0.0.0.0:25" }]\n';
const pairs = (...files: readonly { readonly cert: string; readonly key: string }[]): string =>
  `${LISTENER}certificates:\n${files.map((each) => `  - { cert: ${each.cert}, key: ${each.key} }\n`).join('')}`;
const keyOf = (path: typeof now): string =>
  authority.issue(
    path === now ? { names, keyType: 'rsa' } : { names, keyType: 'rsa', usages: ['serverAuth', 'clientAuth'], ...laterDates },
  ).spkiSha256;

describe('postern cert', () => {
  test('everything a partner asks for, of the certificate now and of the next', async () => {
    const { code, out, err } = await run(pairs(now, later));
    assert.equal(code, 0, err);
    for (const row of [
      /^Certificate \(now\)$/m,
      /^Certificate \(next: published before it is served\)$/m,
      /^ {2}issuer root +Cert Command Root \(no public root; ask us for its certificate\)$/m,
      /^ {2}certificate name +mx1\.example\.org$/m,
      /^ {2}organisation +none$/m,
      /^ {2}organisational unit +none$/m,
      /^ {2}key +RSA, 2048 bits$/m,
      /^ {2}alternative names +mx1\.example\.org$/m,
      /^ {2}valid +\S+ to \S+ \(\d+ days left\)$/m,
      /^ {2}valid +\S+ to \S+ \(begins in 3 days\)$/m,
      /^ {2}SHA-1 fingerprint +([0-9A-F]{2}:){19}[0-9A-F]{2}$/m,
      /^ {2}SHA-256 fingerprint +([0-9A-F]{2}:){31}[0-9A-F]{2}$/m,
      /^ {2}extended key usage +serverAuth, clientAuth$/m,
      new RegExp(`^ {2}_25\\._tcp\\.mx1\\.example\\.org\\. IN TLSA 3 1 1 ${keyOf(now)}$`, 'm'),
      new RegExp(`^ {2}_25\\._tcp\\.mx1\\.example\\.org\\. IN TLSA 3 1 1 ${keyOf(later)}$`, 'm'),
      /^ {2}mx: mx1\.example\.org$/m,
      /^ {2}_mta-sts\.example\.org\. IN TXT "v=STSv1; id=[0-9a-f]{20};"$/m,
      /^ {2}versions +TLSv1\.3, TLSv1\.2$/m,
      /^ +1 {2}TLS_AES_256_GCM_SHA384 +TLS_AES_256_GCM_SHA384 +yes$/m,
      /^ +\d+ {2}TLS_RSA_WITH_AES_128_CBC_SHA +AES128-SHA +no$/m,
    ])
      assert.match(out, row);
    assert.doesNotMatch(out, /ECDSA|\/now\.pem|PRIVATE/, 'no suites of keys we lack, no paths of ours, no keys');
    assert.match(err, /now\.pem.*no public root/, 'what concerns us is not on the sheet');
  });

  test('--json is the same as a document, --pem the chains', async () => {
    const document = JSON.parse((await run(pairs(now, later), { json: true })).out);
    assert.deepEqual(
      document.certificates.map(({ use }: { use: string }) => use),
      ['current', 'next'],
    );
    assert.equal(document.tlsa.length, 2);
    const { out } = await run(pairs(now), { pem: true });
    assert.equal(new X509Certificate(out).subjectAltName, 'DNS:mx1.example.org');
    assert.match((await run(pairs(now, later), { pem: true })).out, /^# mx1\.example\.org, RSA, 2048 bits, now\n-----BEGIN/);
  });

  test('the certificate we send with, where it is one of its own', async () => {
    const { out } = await run(`${pairs(now)}tls: { clientCertificate: { cert: ${later.cert}, key: ${later.key} } }\n`);
    assert.match(out, /^Certificate \(shown when we send, to servers that ask for one\)$/m);
    assert.equal(out.match(/IN TLSA/g)?.length, 1, 'nobody looks it up in DNS');
  });

  test('no certificate yet: says so and makes none', async () => {
    const { code, err } = await run(LISTENER);
    assert.equal(code, 1);
    assert.match(err, /no certificate yet/);
    assert.equal(existsSync(join(folder, 'certs')), false);
  });

  test('a key of another certificate: 1, with the reason', async () => {
    const { code, out, err } = await run(pairs({ cert: now.cert, key: later.key }));
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /it is not the key of/);
  });

  test('a configuration that does not hold: 2', async () => assert.equal((await run('listeners: 1\n')).code, 2));
});

test('what is to be published is read by our own reader of MTA-STS as it is meant', () => {
  const published = stsPolicy(['mx1.example.org', 'mx2.example.org'], ['example.org'], 'enforce');
  const parsed = parsePolicy(Buffer.from(published.policy));
  assert.ok(parsed.ok);
  assert.equal(parsed.value.mode, 'enforce');
  assert.deepEqual(parsed.value.mx.map(namePatternText), ['mx1.example.org', 'mx2.example.org']);
  const text = /IN TXT "(.*)"$/.exec(published.domains[0]?.record ?? '')?.[1] ?? '';
  assert.deepEqual(parseStsRecords([text]), { kind: 'id', id: published.id });
  assert.notEqual(stsPolicy(['mx1.example.org'], [], 'enforce').id, published.id, 'another policy, another id');
});

test('suites have their IANA names', () => {
  for (const [openssl, iana] of [
    ['TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
    ['ECDHE-RSA-CHACHA20-POLY1305', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
    ['ECDHE-RSA-AES128-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256'],
    ['ECDHE-RSA-AES256-SHA', 'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA'],
    ['AES256-GCM-SHA384', 'TLS_RSA_WITH_AES_256_GCM_SHA384'],
    ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
  ] as const)
    assert.equal(ianaName(openssl), iana);
  assert.ok(tlsOffer('TLSv1.3', ['RSA']).suites.every(({ iana }) => !iana.includes('WITH')));
  assert.ok(tlsOffer('TLSv1.2', ['EC']).suites.every(({ forwardSecrecy }) => forwardSecrecy));
});
