/** The test certificates are what was asked for. */
import { strict as assert } from 'node:assert';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAuthority } from './certificates.ts';

const authority = createAuthority('Test');

test('a leaf: names, usages, key type, signed by the root, the pin is of its key', () => {
  const issued = authority.issue({
    names: ['a.test', '*.b.test', '127.0.0.1'],
    usages: ['serverAuth', 'clientAuth'],
    keyType: 'rsa',
  });
  const leaf = new X509Certificate(issued.cert);
  assert.equal(leaf.subjectAltName, 'DNS:a.test, DNS:*.b.test, IP Address:127.0.0.1');
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
  assert.equal(leaf.publicKey.asymmetricKeyType, 'rsa');
  assert.ok(leaf.verify(new X509Certificate(issued.caPem).publicKey));
  const spki = leaf.publicKey.export({ type: 'spki', format: 'der' });
  assert.equal(issued.spkiSha256, createHash('sha256').update(spki).digest('hex'));
});

test('dates are as given, the chain holds the intermediate, a self-signed one vouches for itself', () => {
  const expired = authority.issue({ names: ['e.test'], notBefore: new Date('2020-01-01'), notAfter: new Date('2021-01-01') });
  assert.equal(Date.parse(new X509Certificate(expired.cert).validTo), Date.UTC(2021, 0, 1));
  const chained = authority.issue({ names: ['i.test'], intermediate: true });
  const [leaf = '', between = ''] = chained.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
  assert.ok(new X509Certificate(leaf).checkIssued(new X509Certificate(between)));
  assert.ok(new X509Certificate(between).checkIssued(new X509Certificate(authority.caPem)));
  const own = authority.issue({ names: ['s.test'], selfSigned: true });
  assert.equal(own.caPem, own.cert);
  assert.ok(new X509Certificate(own.cert).verify(new X509Certificate(own.cert).publicKey));
});

test('the same request gives the same certificate; files are written, the key for its owner only', () => {
  const request = { names: ['f.test'] };
  assert.equal(authority.issue(request), authority.issue({ ...request }));
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const paths = authority.issueTo(folder, 'relay', request);
  assert.equal(readFileSync(paths.cert, 'utf8'), authority.issue(request).cert);
  assert.equal(statSync(paths.key).mode & 0o777, 0o600);
  rmSync(folder, { recursive: true });
});
