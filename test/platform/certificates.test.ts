import { strict as assert } from 'node:assert';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ConnectionOptions, connect, createServer } from 'node:tls';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { ListenerTls } from '../../src/inbound/context.ts';
import { type CertificateLoad, loadCertificates } from '../../src/platform/certificates.ts';
import { openListenerTls } from '../../src/platform/listener-tls.ts';
import { type CertificateRequest, createAuthority } from '../support/certificates.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const HOST = 'relay.example.org' as Domain;
const NOW = Date.now() as Instant;
const DAY = 86_400_000;
const folder = mkdtempSync(join(tmpdir(), 'postern-certs-'));
after(() => rmSync(folder, { recursive: true }));
const ca = createAuthority('platform');
let written = 0;

function files(request: CertificateRequest) {
  const { cert, key } = ca.issueTo(folder, `pair${++written}`, request);
  return { cert, key };
}
const file = (text: string): string => {
  const path = join(folder, `file${++written}`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};
const selfSigned = { cert: join(folder, 'own/relay.pem'), key: join(folder, 'own/relay.key') };
const load = (...certificates: { cert: string; key: string }[]): CertificateLoad =>
  loadCertificates({ certificates, selfSigned, hostname: HOST }, NOW);
const told = (loaded: CertificateLoad): string =>
  loaded.problems.map(({ severity, wrong }) => `${severity}: ${wrong}`).join('\n');

const rsa = files({ names: [HOST], keyType: 'rsa', intermediate: true });
const ec = files({ names: [HOST], keyType: 'ec', intermediate: true });

test('without certificates one is made, and kept at the next start', () => {
  const first = load();
  assert.equal(first.selfSigned, 'made');
  assert.equal(told(first), '');
  const second = load();
  assert.equal(second.selfSigned, 'kept');
  assert.equal(second.facts[0]?.fingerprint, first.facts[0]?.fingerprint);
  assert.equal(first.facts[0]?.selfSigned, true);
});

test('facts of a pair', () => {
  const [facts] = load(ec).facts;
  assert.deepEqual([facts?.names, facts?.keyType, facts?.selfSigned], [[`DNS:${HOST}`], 'ec', false]);
  assert.equal(facts?.issuer, 'CN=platform Intermediate');
});

const rows: readonly (readonly [what: string, pair: () => { cert: string; key: string }, problem: RegExp, served: boolean])[] = [
  ['a missing file', () => ({ cert: join(folder, 'gone.pem'), key: ec.key }), /error: there is no such file/, false],
  ['a folder', () => ({ cert: folder, key: ec.key }), /error: it cannot be read/, false],
  ['a huge file', () => ({ cert: file('x'.repeat(300_000)), key: ec.key }), /error: it is 300000 bytes long/, false],
  ['no certificate', () => ({ cert: file('hello'), key: ec.key }), /error: it holds no certificate/, false],
  [
    'a damaged certificate',
    () => ({ cert: file('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), key: ec.key }),
    /error: its certificate number 1 cannot be read/,
    false,
  ],
  ['no key', () => ({ cert: ec.cert, key: ec.cert }), /error: it holds no private key/, false],
  ['an encrypted key', () => ({ cert: ec.cert, key: file(encryptedKey()) }), /error: the key is encrypted/, false],
  ['the key of another', () => ({ cert: ec.cert, key: rsa.key }), /error: it is not the key of /, false],
  [
    'the leaf last',
    () => ({ cert: file(reversed(ec.cert)), key: ec.key }),
    /error: the certificate of the key does not come first/,
    false,
  ],
  [
    'a chain with a gap',
    () => ({ cert: file(textOf(ec.cert).split(/(?=-----BEGIN)/)[0] + textOf(rsa.cert)), key: ec.key }),
    /warning: certificate number 2 .* did not issue number 1/,
    true,
  ],
  [
    'a chain that ends too soon',
    () => ({ cert: file(textOf(ec.cert).split(/(?=-----BEGIN)/)[0] ?? ''), key: ec.key }),
    /warning: the chain ends at an issuer that is no public root: CN=platform Intermediate/,
    true,
  ],
  [
    'an expired one',
    () => files({ names: [HOST], notBefore: new Date(NOW - 20 * DAY), notAfter: new Date(NOW - DAY) }),
    /warning: it expired on/,
    true,
  ],
  ['one that soon expires', () => files({ names: [HOST], notAfter: new Date(NOW + 5 * DAY) }), /warning: it expires on/, true],
  ['one not yet valid', () => files({ names: [HOST], notBefore: new Date(NOW + DAY) }), /warning: it is valid only from/, true],
  ['one without names', () => files({ names: [], commonName: HOST }), /warning: it has no subject alternative name/, true],
  ['one for another host', () => files({ names: ['other.example.org'] }), /warning: it does not name relay.example.org/, true],
  [
    'a key that everyone can read',
    () => readable(files({ names: [HOST, 'readable.test'] })),
    /warning: every user of this machine can read/,
    true,
  ],
];
for (const [what, pair, problem, served] of rows) {
  test(`${what}: ${served ? 'served, with a warning' : 'refused'}`, () => {
    const loaded = load(pair());
    assert.match(told(loaded), problem);
    assert.equal(loaded.pairs.length, served ? 1 : 0);
    assert.equal(
      loaded.problems.some(({ severity }) => severity === 'error'),
      !served,
    );
    assert.ok(loaded.problems.every((one) => one.file !== '' && one.right !== ''));
  });
}

test('a second pair for the same names and key type can never be served, and is told', () => {
  assert.match(
    told(load(ec, files({ names: [HOST], keyType: 'ec', intermediate: true, commonName: 'again' }))),
    /no client ever gets it/,
  );
});

const KEYS = randomBytes(48);
const source = (...certificates: { cert: string; key: string }[]) =>
  openListenerTls({ pairs: load(...certificates).pairs, minVersion: 'TLSv1.2', ticketKeys: new Uint8Array(KEYS) });

test('what goes to a thread is plain data', () => {
  const plain = { pairs: load(rsa, ec).pairs, minVersion: 'TLSv1.3' as const, ticketKeys: new Uint8Array(KEYS) };
  const arrived = openListenerTls(structuredClone(plain)).optionsFor(null);
  assert.deepEqual([arrived.minVersion, arrived.ticketKeys.length, arrived.key.length], ['TLSv1.3', 48, 2]);
});

test('names: exact, one label below a wildcard, any case; the rest gets the default', () => {
  const wild = files({ names: ['*.example.org'], keyType: 'ec' });
  const other = files({ names: ['mx.other.test'], keyType: 'rsa' });
  const tls: ListenerTls = source(rsa, ec, wild, other);
  const certs = (name: string | null): number => tls.optionsFor(name).cert.length;
  const fallback = tls.optionsFor(null);
  assert.equal(fallback.cert.length, 2, 'RSA and EC of the same name together');
  assert.equal(tls.optionsFor('mx.other.test'), tls.optionsFor('MX.Other.TEST'));
  assert.notEqual(tls.optionsFor('mx.other.test'), fallback);
  assert.equal(certs('mx.other.test'), 1);
  assert.equal(certs('a.example.org'), 1);
  assert.equal(tls.optionsFor(HOST), fallback, 'the wildcard adds no second EC certificate');
  for (const name of [
    'example.org',
    'a.b.example.org',
    'xexample.org',
    'unknown.test',
    '',
    '.',
    'a\0.example.org',
    '*.example.org',
    'ä.example.org',
    'x'.repeat(5000),
  ]) {
    assert.equal(tls.optionsFor(name), fallback, name.slice(0, 20));
  }
});

test('renewed certificates are served from the next handshake on', () => {
  const tls = source(ec);
  const before = tls.optionsFor(HOST);
  assert.equal(tls.optionsFor(HOST), before);
  tls.replace({ pairs: load(rsa).pairs, minVersion: 'TLSv1.2', ticketKeys: new Uint8Array(KEYS) });
  assert.notDeepEqual(tls.optionsFor(HOST).cert, before.cert);
});

const handshakes: readonly (readonly [what: string, client: ConnectionOptions, keyType: string])[] = [
  ['a modern client gets EC', {}, 'ec'],
  ['one that verifies RSA only gets RSA', { sigalgs: 'RSA-PSS+SHA256:RSA+SHA256' }, 'rsa'],
  ['TLS 1.2 with an RSA suite gets RSA', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }, 'rsa'],
  ['TLS 1.2 with an ECDSA suite gets EC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, 'ec'],
];
for (const [what, client, keyType] of handshakes) {
  test(`RSA and EC side by side: ${what}, and both chains verify`, async () => {
    const { key, cert } = source(rsa, ec).optionsFor(HOST);
    const server = createServer({ key: [...key], cert: [...cert] }, (socket) => socket.on('error', () => {}).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const got = await new Promise<string | undefined>((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, servername: HOST, ca: ca.caPem, ...client }, () => {
        resolve(socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType);
        socket.destroy();
      }).on('error', reject);
    });
    server.close();
    assert.equal(got, keyType);
  });
}

function textOf(path: string): string {
  return readFileSync(path, 'utf8');
}
function reversed(path: string): string {
  return textOf(path)
    .split(/(?=-----BEGIN)/)
    .reverse()
    .join('');
}
function readable(pair: { cert: string; key: string }) {
  chmodSync(pair.key, 0o644);
  return pair;
}
function encryptedKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }).toString();
}
