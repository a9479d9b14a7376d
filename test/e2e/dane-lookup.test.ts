/**
 * DANE as far as DNS goes, with a real validating resolver in front of really signed (and really broken) zones: from a domain over
 * its hosts to what each must prove.
 */
import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { createStubResolver, type StubResolverOptions } from '../../src/dns/stub-resolver.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Config } from '../../src/domain/config.ts';
import type { OutboundConnector } from '../../src/domain/connector.ts';
import { resolveHosts } from '../../src/routing/resolve-hosts.ts';
import type { DaneStatus } from '../../src/security/dane-policy.ts';
import { gatherDane } from '../../src/security/gather-dane.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startSignedZone } from '../support/signed-zone.ts';

checkLeaks();

const SHA256 = 'ab'.repeat(32);
const tlsa = (base: string, record: string): string => `_25._tcp.${base}. TLSA ${record}`;
const host = (name: string): string => `${name}. A 192.0.2.1`;
const mx = (domain: string, ...hosts: string[]): string[] => hosts.map((name, at) => `${domain}. MX ${at * 10} ${name}.`);
const child = (name: string, kind: 'signed' | 'unsigned' | 'bogus' | 'failing', ...records: string[]) => ({
  name,
  kind,
  records,
});

const ROOT = [
  ...mx('ee.test', 'mx.ee.test'),
  host('mx.ee.test'),
  tlsa('mx.ee.test', `3 1 1 ${SHA256}`),
  ...mx('ta.test', 'mx.ta.test'),
  host('mx.ta.test'),
  tlsa('mx.ta.test', `2 0 1 ${SHA256}`),
  ...mx('pkix.test', 'mx.pkix.test'),
  host('mx.pkix.test'),
  tlsa('mx.pkix.test', `1 1 1 ${SHA256}`),
  tlsa('mx.pkix.test', `3 1 1 ${SHA256}ab`),
  ...mx('none.test', 'mx.none.test'),
  host('mx.none.test'),
  'alias.test. CNAME ee.test.',
  ...mx('host-alias.test', 'mx.host-alias.test'),
  'mx.host-alias.test. CNAME mx.ee.test.',
  ...mx('own-tlsa.test', 'mx.own-tlsa.test'),
  'mx.own-tlsa.test. CNAME mx.none.test.',
  tlsa('mx.own-tlsa.test', `3 1 1 ${SHA256}`),
  ...mx('alias-out.test', 'mx.alias-out.test'),
  'mx.alias-out.test. CNAME mx.insecure.test.',
  tlsa('mx.alias-out.test', `3 1 1 ${SHA256}`),
  ...mx('tlsa-alias.test', 'mx.tlsa-alias.test'),
  host('mx.tlsa-alias.test'),
  '_25._tcp.mx.tlsa-alias.test. CNAME _25._tcp.mx.ee.test.',
  ...mx('tlsa-alias-out.test', 'mx.tlsa-alias-out.test'),
  host('mx.tlsa-alias-out.test'),
  '_25._tcp.mx.tlsa-alias-out.test. CNAME _25._tcp.mx.insecure.test.',
  host('implicit.test'),
  tlsa('implicit.test', `3 1 1 ${SHA256}`),
  ...mx('to-insecure.test', 'mx.insecure.test'),
  ...mx('to-bogus.test', 'mx.bogus.test'),
  ...mx('half-bogus.test', 'mx.bogus.test', 'mx.ee.test'),
  ...mx('tlsa-bogus.test', 'mx.tlsa-bogus.test'),
  host('mx.tlsa-bogus.test'),
  ...mx('tlsa-failing.test', 'mx.tlsa-failing.test'),
  host('mx.tlsa-failing.test'),
  ...mx('tlsa-unsigned.test', 'mx.tlsa-unsigned.test'),
  host('mx.tlsa-unsigned.test'),
  ...mx('half-failing.test', 'mx.tlsa-failing.test', 'mx.ee.test'),
  ...mx('big.test', 'mx.big.test'),
  host('mx.big.test'),
  ...Array.from({ length: 40 }, (_, n) => tlsa('mx.big.test', `3 1 2 ${n.toString(16).padStart(128, '0')}`)),
  'mx.six.test. AAAA 2001:db8::1',
  ...mx('six.test', 'mx.six.test'),
  tlsa('mx.six.test', `3 1 1 ${SHA256}`),
];
const CHILDREN = [
  child(
    'insecure.test',
    'unsigned',
    ...mx('insecure.test', 'mx.ee.test'),
    host('mx.insecure.test'),
    tlsa('mx.insecure.test', `3 1 1 ${SHA256}`),
  ),
  child('signed.test', 'signed', ...mx('signed.test', 'mx.ee.test', 'mx.insecure.test')),
  child('bogus.test', 'bogus', ...mx('bogus.test', 'mx.ee.test'), host('mx.bogus.test')),
  child('_tcp.mx.tlsa-bogus.test', 'bogus', tlsa('mx.tlsa-bogus.test', `3 1 1 ${SHA256}`)),
  child('_tcp.mx.tlsa-failing.test', 'failing'),
  child('_tcp.mx.tlsa-unsigned.test', 'unsigned', tlsa('mx.tlsa-unsigned.test', `3 1 1 ${SHA256}`)),
];

const config = { hostname: 'relay.test', listeners: [], delivery: { port: 25, ipv6: true } } as unknown as Config;
const byMx = { name: 'out', route: { kind: 'mx' } } as unknown as OutboundConnector;
const never = new AbortController().signal;
const clock = { now: () => 0 as never, monotonic: () => performance.now() };

const statusText = (status: DaneStatus): string => {
  switch (status.kind) {
    case 'not-applicable':
      return status.because;
    case 'usable': {
      const [first, ...others] = status.records;
      const record = `${first.usage} ${first.selector} ${first.matchingType}${others.length > 0 ? ` and ${others.length} more` : ''}`;
      return `${record} at ${status.names.join(' ')}`;
    }
    case 'unusable':
      return `unusable at ${status.tlsaBase}`;
    case 'undetermined':
      return status.problem;
  }
};

/** The status of each host, best first, or why there is none. */
async function statuses(domain: string, options: Pick<StubResolverOptions, 'servers' | 'dnssec'>): Promise<string> {
  const resolver = createStubResolver({ ...options, clock, randomInt });
  try {
    const context = { config, resolver, random: () => 0.999, ownAddresses: new Set<string>() };
    const plan = await resolveHosts({ connector: byMx, domain: domain as Domain }, context, never);
    if (plan.kind === 'failed') return `${plan.failure.enhanced} ${plan.failure.text}`;
    return (await Promise.all(plan.hosts.map((one) => gatherDane(one, resolver, never)))).map(statusText).join(' | ');
  } finally {
    resolver.close();
  }
}

const rows: readonly (readonly [domain: string, expected: string])[] = [
  ['ee.test', '3 1 1 at mx.ee.test ee.test'],
  ['ta.test', '2 0 1 at mx.ta.test ta.test'],
  ['pkix.test', 'unusable at mx.pkix.test'],
  ['none.test', 'no-tlsa'],
  ['alias.test', '3 1 1 at mx.ee.test alias.test ee.test'],
  ['host-alias.test', '3 1 1 at mx.ee.test host-alias.test'],
  ['own-tlsa.test', '3 1 1 at mx.own-tlsa.test own-tlsa.test'],
  ['alias-out.test', '3 1 1 at mx.alias-out.test alias-out.test'],
  ['tlsa-alias.test', '3 1 1 at mx.tlsa-alias.test tlsa-alias.test'],
  ['tlsa-alias-out.test', 'tlsa-insecure'],
  ['implicit.test', '3 1 1 at implicit.test'],
  ['insecure.test', 'mx-insecure'],
  ['to-insecure.test', 'addresses-insecure'],
  ['signed.test', '3 1 1 at mx.ee.test signed.test | addresses-insecure'],
  ['bogus.test', '4.7.324 the DNS records of bogus.test fail DNSSEC validation'],
  ['to-bogus.test', '4.7.324 the DNS records of mx.bogus.test fail DNSSEC validation'],
  ['half-bogus.test', '3 1 1 at mx.ee.test half-bogus.test'],
  ['tlsa-bogus.test', 'bogus'],
  ['tlsa-failing.test', 'lookup-failed'],
  ['tlsa-unsigned.test', 'tlsa-insecure'],
  ['half-failing.test', 'lookup-failed | 3 1 1 at mx.ee.test half-failing.test'],
  ['big.test', '3 1 2 and 39 more at mx.big.test big.test'],
  ['six.test', '3 1 1 at mx.six.test six.test'],
  ['[192.0.2.1]', 'address-literal'],
  ['missing.test', '5.1.2 the domain missing.test does not exist'],
];
test('DANE as DNS has it', async (suite) => {
  await using zone = await startSignedZone({ root: ROOT, children: CHILDREN });
  for (const [domain, expected] of rows)
    await suite.test(`${domain}: ${expected}`, async () => {
      assert.equal(await statuses(domain, { servers: [zone], dnssec: 'auto' }), expected);
    });
  await suite.test('where its word is not believed, or nobody validates, there is no DANE', async () => {
    for (const domain of ['ee.test', 'pkix.test', 'tlsa-bogus.test', 'tlsa-failing.test']) {
      assert.equal(await statuses(domain, { servers: [zone], dnssec: 'off' }), 'mx-insecure', domain);
      assert.equal(await statuses(domain, { servers: [zone.authoritative], dnssec: 'auto' }), 'mx-insecure', domain);
    }
  });
});
