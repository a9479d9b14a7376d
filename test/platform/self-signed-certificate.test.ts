import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import { integer, objectIdentifier, octetString, time } from '../../src/platform/der-format.ts';
import { ensureSelfSigned, makeSelfSigned } from '../../src/platform/self-signed-certificate.ts';

const HOST = 'relay.example.org' as Domain;
const NOW = Date.now() as Instant;
const DAY = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), 'postern-self-signed-'));
after(() => rmSync(folder, { recursive: true }));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('Node reads it: names, dates, key, signature', () => {
  const { cert, key } = makeSelfSigned(HOST, NOW);
  const read = new X509Certificate(cert);
  assert.equal(read.subject, 'CN=relay.example.org');
  assert.equal(read.issuer, read.subject);
  assert.equal(read.subjectAltName, 'DNS:relay.example.org');
  assert.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(read.ca, false);
  assert.ok(read.checkPrivateKey(createPrivateKey(key)));
  assert.ok(read.verify(read.publicKey));
  assert.ok(read.validFromDate.getTime() < NOW && read.validToDate.getTime() > NOW + 1800 * DAY);
  assert.equal(read.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.ok(read.checkHost(HOST, { subject: 'never' }));
});

test('OpenSSL reads and verifies it, strictly', () => {
  const { cert } = makeSelfSigned(HOST, NOW);
  const path = join(folder, 'plain.pem');
  writeFileSync(path, cert);
  const text = spawnSync('openssl', ['x509', '-in', path, '-noout', '-text'], { encoding: 'utf8' });
  assert.equal(text.status, 0, text.stderr);
  for (const part of [
    'Version: 3',
    'ecdsa-with-SHA256',
    'prime256v1',
    'Digital Signature',
    'TLS Web Server Authentication',
    'CA:FALSE',
  ]) {
    assert.ok(text.stdout.includes(part), part);
  }
  const args = ['verify', '-CAfile', path, '-purpose', 'sslserver', '-verify_hostname', HOST, path];
  const verified = spawnSync('openssl', args, { encoding: 'utf8' });
  assert.equal(verified.status, 0, verified.stdout + verified.stderr);
  const asn1 = spawnSync('openssl', ['asn1parse', '-in', path, '-strictpem'], { encoding: 'utf8' });
  assert.equal(asn1.status, 0, asn1.stderr);
});

const literals: readonly (readonly [host: string, altName: string])[] = [
  ['[192.0.2.1]', 'IP Address:192.0.2.1'],
  ['[ipv6:2001:db8::1]', 'IP Address:2001:DB8:0:0:0:0:0:1'],
  ['[ipv6:::ffff:192.0.2.1]', 'IP Address:0:0:0:0:0:FFFF:C000:201'],
  [`${'a'.repeat(60)}.${'b'.repeat(60)}.test`, `DNS:${'a'.repeat(60)}.${'b'.repeat(60)}.test`],
];
for (const [host, altName] of literals) {
  test(`alternative name of ${host.slice(0, 40)}`, () => {
    const read = new X509Certificate(makeSelfSigned(host as Domain, NOW).cert);
    assert.equal(read.subjectAltName, altName);
  });
}

test('two of them share neither key nor serial', () => {
  const [a, b] = [makeSelfSigned(HOST, NOW), makeSelfSigned(HOST, NOW)];
  assert.notEqual(a.key, b.key);
  assert.notEqual(new X509Certificate(a.cert).serialNumber, new X509Certificate(b.cert).serialNumber);
});

test('made once, kept while in order, made anew where not', () => {
  const files = { cert: join(folder, 'deep/er/relay.pem'), key: join(folder, 'deep/er/relay.key') };
  const ensure = (host = HOST, at = NOW) => ensureSelfSigned(files, host, at);
  assert.deepEqual(ensure(), { ok: true, value: 'made' });
  assert.equal(statSync(files.key).mode & 0o777, 0o600);
  assert.equal(statSync(files.cert).mode & 0o777, 0o644);
  const first = readFileSync(files.cert, 'utf8');
  assert.deepEqual(ensure(), { ok: true, value: 'kept' });
  assert.equal(readFileSync(files.cert, 'utf8'), first);
  assert.deepEqual(ensure('other.example.org' as Domain), { ok: true, value: 'made' }, 'another host name');
  assert.deepEqual(ensure(), { ok: true, value: 'made' }, 'and back');
  assert.deepEqual(ensure(HOST, (NOW + 1800 * DAY) as Instant), { ok: true, value: 'made' }, 'near its end');
  writeFileSync(files.key, makeSelfSigned(HOST, NOW).key);
  assert.deepEqual(ensure(HOST, (NOW + 1800 * DAY) as Instant), { ok: true, value: 'made' }, 'a key of another');
  writeFileSync(files.cert, 'junk');
  assert.deepEqual(ensure(), { ok: true, value: 'made' }, 'damaged');
});

test('a folder that cannot be written is told, not thrown', () => {
  writeFileSync(join(folder, 'file'), '');
  const made = ensureSelfSigned({ cert: join(folder, 'file/x.pem'), key: join(folder, 'file/x.key') }, HOST, NOW);
  assert.equal(made.ok, false);
  assert.match(made.ok ? '' : made.error, /cannot write the self-signed certificate .*x\.pem/);
});

test('DER: lengths, signs, arcs, times', () => {
  assert.equal(hex(integer(Uint8Array.of(0, 0, 0x80))), '02020080');
  assert.equal(hex(integer(Uint8Array.of(0))), '020100');
  assert.equal(hex(objectIdentifier('1.2.840.10045.4.3.2')), '06082a8648ce3d040302');
  assert.equal(hex(octetString(new Uint8Array(200))).slice(0, 6), '0481c8');
  assert.equal(hex(octetString(new Uint8Array(300))).slice(0, 8), '0482012c');
  assert.equal(Buffer.from(time(Date.UTC(2049, 11, 31, 23, 59, 59, 999))).toString('latin1', 2), '491231235959Z');
  assert.equal(Buffer.from(time(Date.UTC(2050, 0, 1))).toString('latin1', 2), '20500101000000Z');
});

test('whatever the bytes, an INTEGER is minimal and positive', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (bytes) => {
      const der = integer(bytes);
      const value = (of: Uint8Array): bigint => BigInt(`0x0${hex(of)}`);
      assert.equal(value(der.subarray(2)), value(bytes));
      assert.ok((der[2] ?? 0) < 0x80);
    }),
  );
});
