/** Fetching policies from a real HTTPS server, found through a real name server: what counts, and everything that does not. RFC 8461, section 3.3. */
import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { createStubResolver } from '../../src/dns/stub-resolver.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Result } from '../../src/domain/basics.ts';
import type { StsFetchFailure, StsPolicy } from '../../src/domain/mta-sts.ts';
import { createStsFetch, type StsFetchContext } from '../../src/security/mta-sts-fetch.ts';
import { policyLines } from '../../src/security/mta-sts-format.ts';
import { stsProblemText } from '../../src/security/mta-sts-problem-format.ts';
import { systemClock } from '../support/clock.ts';
import { startDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type PolicyMisbehaviour, type PolicySite, startPolicyHost } from '../support/policy-host.ts';

checkLeaks();

const DOMAIN = 'example.test' as Domain;
const HOST = `mta-sts.${DOMAIN}`;
const never = (): AbortSignal => new AbortController().signal;

type Setting = {
  readonly zone?: Zone;
  readonly change?: Partial<StsFetchContext>;
  readonly oldTls?: boolean;
  readonly signal?: AbortSignal;
  readonly domain?: string;
};

/** Fetches the policy of example.test from a policy host that behaves as told. */
async function fetched(site: PolicySite, setting: Setting = {}) {
  await using host = await startPolicyHost(
    { [DOMAIN]: { mx: ['mx.example.test'], ...site } },
    { oldTls: setting.oldTls ?? false },
  );
  await using dns = await startDnsServer(setting.zone ?? { [HOST]: { a: ['127.0.0.1'] } });
  const servers = [{ address: dns.address, port: dns.port }];
  const resolver = createStubResolver({ servers, dnssec: 'off', clock: systemClock, randomInt: (below) => randomInt(below) });
  const context = { resolver, ipv6: true, mayConnect: () => true, ca: [host.caPem], port: host.port, patience: 10_000 };
  const domain = (setting.domain ?? DOMAIN) as Domain;
  const result: Result<StsPolicy, StsFetchFailure> = await createStsFetch({ ...context, ...setting.change })(
    domain,
    setting.signal ?? never(),
  );
  resolver.close();
  return { result, requests: host.seen, connections: host.connections(), queries: dns.seen };
}

test('a policy: asked for once, by name, without caches, and read', async () => {
  const { result, requests } = await fetched({ mx: ['mx.example.test', '*.example.test'], maxAge: 86_400 });
  assert.ok(result.ok, JSON.stringify(result));
  const lines = ['version: STSv1', 'mode: enforce', 'mx: mx.example.test', 'mx: *.example.test', 'max_age: 86400'];
  assert.deepEqual(policyLines(result.value), lines);
  assert.equal(requests.length, 1);
  const { method, path, headers } = requests[0] ?? assert.fail('no request');
  assert.deepEqual([method, path, headers.host], ['GET', '/.well-known/mta-sts.txt', HOST]);
  assert.equal(headers['cache-control'], 'no-cache');
  assert.equal(headers['if-none-match'], undefined);
});

test('a body that ends with the connection', async () => {
  const { result } = await fetched({ does: 'until-close' });
  assert.ok(result.ok, JSON.stringify(result));
});

test('a wildcard certificate one level up will do', async () =>
  assert.ok((await fetched({ does: 'wildcard-certificate' })).result.ok));

const failures: readonly [does: PolicyMisbehaviour, failure: StsFetchFailure, requests: number][] = [
  ['not-found', { kind: 'status', status: 404 }, 1],
  ['redirect', { kind: 'status', status: 302 }, 1],
  ['not-modified', { kind: 'status', status: 304 }, 1],
  ['server-error', { kind: 'status', status: 500 }, 1],
  ['wrong-type', { kind: 'media-type', presented: 'text/html' }, 1],
  ['oversized', { kind: 'too-large' }, 1],
  ['oversized-announced', { kind: 'too-large' }, 1],
  ['oversized-header', { kind: 'broken', code: 'HPE_HEADER_OVERFLOW' }, 1],
  ['compressed', { kind: 'broken', code: 'content-encoding' }, 1],
  ['truncated', { kind: 'broken', code: 'ECONNRESET' }, 1],
  ['hang-up', { kind: 'broken', code: 'ECONNRESET' }, 1],
  ['not-http', { kind: 'broken', code: 'HPE_INVALID_CONSTANT' }, 1],
  ['wrong-certificate', { kind: 'name-mismatch', presented: ['www.example.test', 'example.test'] }, 0],
  ['common-name-only', { kind: 'name-mismatch', presented: [] }, 0],
  ['wildcard-two-levels', { kind: 'name-mismatch', presented: [] }, 0],
  ['expired-certificate', { kind: 'untrusted', reason: 'expired' }, 0],
  ['future-certificate', { kind: 'untrusted', reason: 'not-yet-valid' }, 0],
  ['self-signed', { kind: 'untrusted', reason: 'self-signed' }, 0],
  ['unknown-authority', { kind: 'untrusted', reason: 'unknown-issuer' }, 0],
  ['client-certificate-only', { kind: 'untrusted', reason: 'wrong-purpose' }, 0],
];
for (const [does, failure, count] of failures) {
  test(`${does}: ${stsProblemText(DOMAIN, { kind: 'fetch', failure })}`, async () => {
    const { result, requests } = await fetched({ does });
    assert.deepEqual(result, { ok: false, error: failure });
    assert.equal(requests.length, count, 'requests sent');
  });
}

test('an invalid policy: which line', async () => {
  const { result } = await fetched({ text: 'version: STSv1\nmode: enforce\nnmx: mx.example.test\nmax_age: 604800\n' });
  assert.deepEqual(result, { ok: false, error: { kind: 'invalid', fault: { kind: 'missing', key: 'mx' } } });
});

for (const does of ['silent', 'drip'] as const) {
  test(`${does}: given up when the patience ends`, async () => {
    const { result, requests } = await fetched({ does }, { change: { patience: 300 } });
    assert.deepEqual(result, { ok: false, error: { kind: 'timeout' } });
    assert.equal(requests.length, 1);
  });
}

test('ended by its caller: soon, with nothing left open', async () => {
  const control = new AbortController();
  setTimeout(() => control.abort(), 100);
  const { result } = await fetched({ does: 'silent' }, { signal: control.signal });
  assert.deepEqual(result, { ok: false, error: { kind: 'timeout' } });
  const { result: early, connections } = await fetched({}, { signal: AbortSignal.abort() });
  assert.deepEqual(early, { ok: false, error: { kind: 'timeout' } });
  assert.equal(connections, 0);
});

test('nothing older than TLS 1.2 is spoken', async () => {
  const { result, requests } = await fetched({}, { oldTls: true });
  assert.ok(!result.ok && result.error.kind === 'handshake', JSON.stringify(result));
  assert.equal(requests.length, 0);
  // The server would have spoken to anyone who speaks something older.
  await using host = await startPolicyHost({}, { oldTls: true });
  const old = { host: '127.0.0.1', port: host.port, servername: HOST, ca: host.caPem, minVersion: 'TLSv1' } as const;
  const socket = connect({ ...old, ciphers: 'DEFAULT:@SECLEVEL=0' });
  await once(socket, 'secureConnect');
  assert.equal(socket.getProtocol(), 'TLSv1.1');
  socket.destroy();
});

test('Node’s own authorities do not vouch for a private one', async () => {
  const { result } = await fetched({}, { change: { ca: null } });
  assert.deepEqual(result, { ok: false, error: { kind: 'untrusted', reason: 'unknown-issuer' } });
});

const lookups: readonly [name: string, zone: Zone, failure: StsFetchFailure][] = [
  ['no such host', {}, { kind: 'address', problem: 'absent' }],
  ['a host without addresses', { [HOST]: { txt: [['x']] } }, { kind: 'address', problem: 'absent' }],
  ['SERVFAIL', { [HOST]: { does: 'servfail' } }, { kind: 'address', problem: 'servfail' }],
  [
    'one address type unknown, the other absent',
    { [HOST]: { does: 'servfail', for: 'AAAA' } },
    { kind: 'address', problem: 'servfail' },
  ],
];
for (const [name, zone, failure] of lookups) {
  test(`${name}: ${stsProblemText(DOMAIN, { kind: 'fetch', failure })}`, async () => {
    const { result, connections } = await fetched({}, { zone });
    assert.deepEqual(result, { ok: false, error: failure });
    assert.equal(connections, 0);
  });
}

test('an address that must not be connected to: not connected to', async () => {
  const { result, connections } = await fetched({}, { change: { mayConnect: () => false } });
  assert.deepEqual(result, { ok: false, error: { kind: 'forbidden-address', address: '127.0.0.1' } });
  assert.equal(connections, 0);
});

test('the forbidden ones among several are passed over', async () => {
  const zone = { [HOST]: { a: ['127.0.0.9', '127.0.0.1'] } };
  const { result } = await fetched({}, { zone, change: { mayConnect: (address) => address === '127.0.0.1' } });
  assert.ok(result.ok);
});

test('an address where nobody listens: the next one', async () => {
  const { result } = await fetched({}, { zone: { [HOST]: { a: ['127.0.0.9', '127.0.0.1'] } } });
  assert.ok(result.ok, JSON.stringify(result));
});

test('nobody listens anywhere', async () => {
  const { result } = await fetched({}, { zone: { [HOST]: { a: ['127.0.0.8', '127.0.0.9'] } } });
  assert.deepEqual(result, { ok: false, error: { kind: 'connect', code: 'ECONNREFUSED' } });
});

test('what a host said counts: no second opinion from its other address', async () => {
  const { requests } = await fetched({ does: 'not-found' }, { zone: { [HOST]: { a: ['127.0.0.1', '127.0.0.1'] } } });
  assert.equal(requests.length, 1);
});

test('a CNAME leads to the host, its name stays the one asked for', async () => {
  const zone = { [HOST]: { cname: 'policies.provider.test' }, 'policies.provider.test': { a: ['127.0.0.1'] } };
  const { result, requests } = await fetched({}, { zone });
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(requests[0]?.headers.host, HOST);
});

test('IPv6 only where it is wanted', async () => {
  const { queries } = await fetched({}, { change: { ipv6: false } });
  assert.deepEqual(
    queries.map(({ type }) => type),
    ['A'],
  );
});

test('a domain too long to have a policy host', async () => {
  const domain = Array.from({ length: 4 }, () => 'a'.repeat(61)).join('.');
  const { result, queries } = await fetched({}, { domain });
  assert.deepEqual(result, { ok: false, error: { kind: 'address', problem: 'absent' } });
  assert.equal(queries.length, 0);
});
