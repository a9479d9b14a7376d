import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import { type CertificatePair, judgePair } from '../../src/platform/certificate-policy.ts';
import { type CertificateSheet, certificateSheets, mxNames } from '../../src/platform/certificate-sheet-format.ts';
import { extendedUsages, keyUsages } from '../../src/platform/certificate-usage-format.ts';
import { type CertificateRequest, createAuthority } from '../support/certificates.ts';

const authority = createAuthority('Sheet');
const NOW = Date.now() as Instant;
const DAY = 86_400_000;

function pair(request: CertificateRequest, file = 'relay.pem'): CertificatePair {
  const { cert, key } = authority.issue(request);
  const verdict = judgePair({ files: { cert: file, key: 'relay.key' }, cert, key, now: NOW, isKnownRoot: () => true });
  assert.ok(verdict.pair !== null, JSON.stringify(verdict.problems));
  return verdict.pair;
}
const sheetsOf = (...pairs: readonly CertificatePair[]): readonly CertificateSheet[] => certificateSheets(pairs, () => null);
const NAMES = ['mx1.example.org', '*.relay.example.org'];

describe('certificate sheet', () => {
  test('says what OpenSSL says', () => {
    const own = pair({ names: NAMES, intermediate: true, usages: ['serverAuth', 'clientAuth'] });
    const [sheet] = sheetsOf(own);
    const print = spawnSync('openssl', ['x509', '-noout', '-text', '-fingerprint', '-sha256', '-serial'], { input: own.cert });
    const text = print.stdout.toString();
    assert.ok(sheet !== undefined && print.status === 0);
    assert.ok(text.includes(`Fingerprint=${sheet.sha256}`));
    assert.ok(text.includes(`serial=${sheet.serialNumber}`));
    assert.ok(text.includes(`Signature Algorithm: ${sheet.signedWith}`));
    assert.ok(text.includes(`ASN1 OID: ${sheet.key.curve}`));
    assert.match(text, /Digital Signature, Key Encipherment/);
    assert.deepEqual(sheet.keyUsage, ['digitalSignature', 'keyEncipherment']);
    assert.deepEqual(sheet.extendedKeyUsage, ['serverAuth', 'clientAuth']);
    assert.equal(sheet.subject.name, 'mx1.example.org');
    assert.deepEqual(
      sheet.chain.map(({ name }) => name),
      ['mx1.example.org', sheet.issuer.name],
    );
    assert.deepEqual([sheet.root.known, sheet.root.sha256], ['no', null]);
    assert.equal(sheet.pem, own.cert);
  });

  test('the key is named as TLSA 3 1 1 and pins name it; RSA has bits', () => {
    const request = { names: NAMES, keyType: 'rsa' } as const;
    const [sheet] = sheetsOf(pair(request));
    assert.equal(sheet?.keySha256, authority.issue(request).spkiSha256);
    assert.deepEqual(sheet?.key, { type: 'RSA', bits: 2048, curve: null });
  });

  test('a root that is found is told, proven by its fingerprint', () => {
    const root = new X509Certificate(authority.caPem);
    const [sheet] = certificateSheets([pair({ names: NAMES })], () => root);
    assert.deepEqual([sheet?.root.known, sheet?.root.sha256], ['public', root.fingerprint256]);
  });

  test('self-signed', () => assert.equal(sheetsOf(pair({ names: NAMES, selfSigned: true }))[0]?.root.known, 'self-signed'));

  const later = { notBefore: new Date(NOW + 3 * DAY), notAfter: new Date(NOW + 90 * DAY) };
  const earlier = { notBefore: new Date(NOW - 9 * DAY), notAfter: new Date(NOW + 9 * DAY) };
  const uses: readonly (readonly [name: string, second: CertificateRequest, use: CertificateSheet['use']])[] = [
    ['same names, later', { names: NAMES, ...later }, 'next'],
    ['same names in another order, later', { names: NAMES.toReversed(), ...later }, 'next'],
    ['same names, earlier', { names: NAMES, ...earlier }, 'unused'],
    ['same names, another kind of key', { names: NAMES, keyType: 'rsa', ...later }, 'current'],
    ['other names', { names: ['mx2.example.org'], ...later }, 'current'],
  ];
  for (const [name, second, use] of uses) {
    test(`${name}: ${use}`, () =>
      assert.deepEqual(
        sheetsOf(pair({ names: NAMES }), pair(second)).map((sheet) => sheet.use),
        ['current', use],
      ));
  }

  test('MX names: those written out, and our own where a wildcard covers it', () => {
    const sheets = sheetsOf(pair({ names: NAMES }));
    assert.deepEqual(mxNames('a.relay.example.org' as Domain, sheets), ['a.relay.example.org', 'mx1.example.org']);
    assert.deepEqual(mxNames('a.b.relay.example.org' as Domain, sheets), ['mx1.example.org']);
    assert.deepEqual(mxNames('mx1.example.org' as Domain, sheets), ['mx1.example.org']);
  });

  test('damaged DER has no usages, and nothing is thrown', () => {
    const { raw } = new X509Certificate(authority.issue({ names: NAMES }).cert);
    for (let length = 0; length < raw.length; length += 7) keyUsages({ raw: raw.subarray(0, length) });
    assert.equal(keyUsages({ raw: Buffer.alloc(100, 0x30) }), null);
    assert.equal(extendedUsages(new X509Certificate(authority.issue({ names: NAMES, usages: [] }).cert)), null);
  });
});
