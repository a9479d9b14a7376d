import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { NonEmpty } from '../../src/domain/basics.ts';
import type { DnsAnswer, MxRecord } from '../../src/domain/dns.ts';
import { type HostProblem, hostFailure, smarthostFailure } from '../../src/routing/host-failure-policy.ts';
import {
  type AddressRules,
  concludeHosts,
  type HostBasis,
  type HostVerdict,
  isOrderFixed,
  judgeHost,
  judgeMx,
  MAX_ADDRESSES_PER_HOST,
  MAX_HOSTS,
  mergeHops,
  orderHosts,
  type ResolvedHost,
} from '../../src/routing/host-policy.ts';
import { ADDRESS_GIVEN, namedByOperator } from '../../src/routing/proof-policy.ts';

const domain = 'a.test' as Domain;
const isOwnName = (name: string): boolean => name === 'relay.test';
const records = <T>(...list: T[]): DnsAnswer<T> => ({
  kind: 'records',
  records: list,
  secure: false,
  ttlSeconds: 60,
  canonicalName: '',
});
const mx = (...list: (readonly [number, string])[]): DnsAnswer<MxRecord> =>
  records(...list.map(([preference, exchange]) => ({ preference, exchange })));
const absent = (nxdomain: boolean): DnsAnswer<never> => ({ kind: 'absent', nxdomain, secure: false, ttlSeconds: 60 });
const servfail: DnsAnswer<never> = { kind: 'unknown', problem: 'servfail' };

/** `name/rank` of each host in order, or the problem. */
function verdictText(answer: DnsAnswer<MxRecord>): string {
  const verdict = judgeMx(domain, answer, isOwnName);
  if (verdict.kind === 'failed') return verdict.problem.kind;
  return `${verdict.basis}: ${verdict.hosts.map(({ name, preference }) => `${name}/${preference}`).join(' ')}`;
}

const mxRows: readonly (readonly [what: string, answer: DnsAnswer<MxRecord>, expected: string])[] = [
  ['by preference', mx([20, 'b.test'], [10, 'a.test'], [30, 'c.test']), 'mx: a.test/0 b.test/1 c.test/2'],
  ['equals share a rank', mx([20, 'c.test'], [10, 'a.test'], [10, 'b.test']), 'mx: a.test/0 b.test/0 c.test/1'],
  ['a name twice counts once, where it is best', mx([20, 'a.test'], [10, 'a.test'], [15, 'b.test']), 'mx: a.test/0 b.test/1'],
  ['preference 0 and 65535', mx([65535, 'b.test'], [0, 'a.test']), 'mx: a.test/0 b.test/1'],
  ['no MX: the domain itself', absent(false), 'implicit: a.test/0'],
  ['no such domain', absent(true), 'no-domain'],
  ['null MX', mx([0, '']), 'null-mx'],
  ['a null MX beside others is passed over', mx([0, ''], [10, 'a.test']), 'mx: a.test/0'],
  ['an address as exchange is passed over', mx([10, '192.0.2.1'], [20, 'b.test']), 'mx: b.test/0'],
  ['nothing but addresses', mx([10, '192.0.2.1'], [20, '2001:db8::1']), 'no-names'],
  ['bad names are passed over', mx([10, 'a?b.test'], [10, 'x y'], [20, 'b.test']), 'mx: b.test/0'],
  [
    'ourselves and all that is not better go',
    mx([10, 'a.test'], [20, 'relay.test'], [20, 'b.test'], [30, 'c.test']),
    'mx-above-own: a.test/0',
  ],
  ['ourselves at the top', mx([10, 'relay.test'], [20, 'b.test']), 'loop'],
  ['ourselves among the best', mx([10, 'relay.test'], [10, 'b.test']), 'loop'],
  ['ourselves alone', mx([10, 'relay.test']), 'loop'],
  ['SERVFAIL is not absence', servfail, 'unknown'],
  ['bogus is not absence', { kind: 'bogus' }, 'bogus'],
];
for (const [what, answer, expected] of mxRows) test(`MX: ${what}`, () => assert.equal(verdictText(answer), expected));

test('of sixty MX records the best twenty count', () => {
  const verdict = judgeMx(domain, mx(...Array.from({ length: 60 }, (_, n) => [60 - n, `h${60 - n}.test`] as const)), isOwnName);
  assert.equal(verdict.kind === 'hosts' && verdict.hosts.length, MAX_HOSTS);
  assert.equal(verdict.kind === 'hosts' && verdict.hosts[0]?.name, 'h1.test');
});

test('what is passed over is told', () => {
  const verdict = judgeMx(domain, mx([10, '192.0.2.1'], [20, 'b?.test'], [30, 'c.test']), isOwnName);
  assert.deepEqual(verdict.kind === 'hosts' && verdict.skipped, [
    { exchange: '192.0.2.1', because: 'address' },
    { exchange: 'b?.test', because: 'bad-name' },
  ]);
});

const rules: AddressRules = {
  isOwn: (address) => address === '192.0.2.25',
  mayConnect: (address) => (address.startsWith('10.') ? { ok: false, kind: 'private' } : { ok: true }),
};
const hostRows: readonly (readonly [what: string, a: DnsAnswer<string>, aaaa: DnsAnswer<string> | null, expected: string])[] = [
  ['both families', records('192.0.2.1'), records('2001:db8::1'), '2001:db8::1 | 192.0.2.1'],
  ['IPv4 only', records('192.0.2.1', '192.0.2.2'), absent(false), ' | 192.0.2.1 192.0.2.2'],
  ['IPv6 not used', records('192.0.2.1'), null, ' | 192.0.2.1'],
  ['A unknown, AAAA there', servfail, records('2001:db8::1'), '2001:db8::1 | '],
  ['AAAA bogus, A there', records('192.0.2.1'), { kind: 'bogus' }, ' | 192.0.2.1'],
  ['neither', absent(false), absent(false), 'no-addresses'],
  ['no such host', absent(true), absent(true), 'no-addresses'],
  ['one absent, one unknown', absent(false), servfail, 'unknown'],
  ['one absent, one bogus', absent(false), { kind: 'bogus' }, 'bogus'],
  ['a private address is left out', records('10.0.0.1', '192.0.2.1'), null, ' | 192.0.2.1'],
  ['nothing but private addresses', records('10.0.0.1'), absent(false), 'refused'],
  ['one of ours among others', records('192.0.2.1', '192.0.2.25'), null, 'own'],
];
for (const [what, a, aaaa, expected] of hostRows) {
  test(`host: ${what}`, () => {
    const verdict = judgeHost({ name: domain, port: 25, preference: 0, ...namedByOperator(domain) }, { a, aaaa }, rules);
    const text =
      verdict.kind === 'usable'
        ? `${verdict.host.ipv6.join(' ')} | ${verdict.host.ipv4.join(' ')}`
        : verdict.kind === 'unusable'
          ? verdict.problem.kind
          : verdict.kind;
    assert.equal(text, expected);
  });
}

const host = (name: string, preference: number, ipv4 = ['192.0.2.1'], ipv6: string[] = []): ResolvedHost => ({
  ...ADDRESS_GIVEN,
  name: name as Domain,
  port: 25,
  preference,
  ipv4,
  ipv6,
});
const usable = (name: string, preference: number): HostVerdict => ({ kind: 'usable', host: host(name, preference) });
const own = (preference: number): HostVerdict => ({ kind: 'own', preference });
const unusable = (preference: number, problem: HostProblem): HostVerdict => ({ kind: 'unusable', preference, problem });
const unknown: HostProblem = { kind: 'unknown', name: 'a.test', problem: 'timeout' };
const refused: HostProblem = { kind: 'refused', example: { address: '10.0.0.1', kind: 'private' } };
const none: HostProblem = { kind: 'no-addresses' };

const conclusions: readonly (readonly [what: string, verdicts: readonly HostVerdict[], basis: HostBasis, expected: string])[] = [
  ['all usable', [usable('a.test', 0), usable('b.test', 1)], 'mx', 'a.test b.test'],
  ['what could not be looked up is gone without', [unusable(0, unknown), usable('b.test', 1)], 'mx', 'b.test'],
  ['nothing usable, one unknown: temporary', [unusable(0, none), unusable(1, unknown)], 'mx', 'unknown'],
  ['nothing usable, all known', [unusable(0, none), unusable(1, none)], 'mx', 'no-addresses'],
  ['refused addresses say so', [unusable(0, none), unusable(1, refused)], 'mx', 'refused'],
  ['our address cuts', [usable('a.test', 0), own(1), usable('b.test', 1), usable('c.test', 2)], 'mx', 'a.test'],
  ['our address at the top', [own(0), usable('b.test', 0), usable('c.test', 1)], 'mx', 'loop'],
  ['better hosts without address, then ourselves', [unusable(0, none), own(1)], 'mx', 'loop'],
  ['better hosts unknown, then ourselves', [unusable(0, unknown), own(1)], 'mx', 'unknown'],
  ['unknown behind ourselves does not count', [own(0), unusable(1, unknown)], 'mx', 'loop'],
  ['ourselves by name, the better ones without address', [unusable(0, none)], 'mx-above-own', 'loop'],
  ['neither MX nor address', [unusable(0, none)], 'implicit', 'no-records'],
  ['no MX, address unknown', [unusable(0, unknown)], 'implicit', 'unknown'],
];
for (const [what, verdicts, basis, expected] of conclusions) {
  test(`conclusion: ${what}`, () => {
    const conclusion = concludeHosts(verdicts, basis);
    assert.equal(
      conclusion.kind === 'hosts' ? conclusion.hosts.map(({ name }) => name).join(' ') : conclusion.problem.kind,
      expected,
    );
  });
}

const failures: readonly (readonly [problem: HostProblem, permanent: boolean, enhanced: string, text: RegExp])[] = [
  [{ kind: 'null-mx' }, true, '5.1.10', /takes no mail/],
  [{ kind: 'no-domain' }, true, '5.1.2', /does not exist/],
  [{ kind: 'no-records' }, true, '5.1.2', /neither MX nor address/],
  [{ kind: 'no-names' }, true, '5.4.4', /no usable host/],
  [none, true, '5.4.4', /has an address/],
  [refused, true, '5.4.4', /10\.0\.0\.1 is a private address/],
  [{ kind: 'loop' }, true, '5.4.6', /this relay itself/],
  [{ kind: 'bogus', name: 'mx.a.test' }, false, '4.7.324', /mx\.a\.test fail DNSSEC/],
  [unknown, false, '4.4.3', /no name server answered/],
];
for (const [problem, permanent, enhanced, text] of failures) {
  test(`${problem.kind} is ${permanent ? 'permanent' : 'temporary'}, ${enhanced}; never permanent for a smarthost`, () => {
    const failure = hostFailure('a.test', problem);
    assert.equal(failure.permanent, permanent);
    assert.equal(failure.enhanced, enhanced);
    assert.match(failure.text, text);
    const soft = smarthostFailure('out', failure);
    assert.equal(soft.permanent, false);
    assert.match(soft.enhanced, /^4\.(4\.[34]|7\.324)$/);
  });
}

test('addresses by turns, IPv6 first, no more than allowed', () => {
  const [candidate] = orderHosts([host('a.test', 0, ['192.0.2.1', '192.0.2.2', '192.0.2.3'], ['2001:db8::1'])], () => 0.999);
  assert.deepEqual(candidate.addresses, ['2001:db8::1', '192.0.2.1', '192.0.2.2', '192.0.2.3']);
  const many = Array.from({ length: 30 }, (_, n) => `192.0.2.${n}`);
  assert.equal(orderHosts([host('a.test', 0, many)], Math.random)[0].addresses.length, MAX_ADDRESSES_PER_HOST);
});

test('smarthosts in order keep it; balanced, the best of each are equals', () => {
  const hops: NonEmpty<ResolvedHost>[] = [[host('a.test', 0), host('b.test', 1)], [host('c.test', 0)]];
  const text = (list: readonly ResolvedHost[]): string => list.map(({ name, preference }) => `${name}/${preference}`).join(' ');
  assert.equal(text(mergeHops(hops, false)), 'a.test/0 b.test/1 c.test/2');
  assert.equal(text(mergeHops(hops, true)), 'a.test/0 c.test/0 b.test/1');
});

const anyHosts = fc
  .array(
    fc.record({
      preference: fc.nat(4),
      ipv4: fc.array(fc.ipV4(), { minLength: 1, maxLength: 4 }),
      ipv6: fc.array(fc.ipV6(), { maxLength: 4 }),
    }),
    {
      minLength: 1,
      maxLength: 20,
    },
  )
  .map((list) => list.map(({ preference, ipv4, ipv6 }, n) => host(`h${n}.test`, preference, ipv4, ipv6)))
  .map((list) => list.toSorted((one, other) => one.preference - other.preference) as unknown as NonEmpty<ResolvedHost>);
const draws = fc
  .infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
  .map((stream) => () => stream.next().value as number);

test('the order is a permutation by preference, whatever is drawn', () => {
  fc.assert(
    fc.property(anyHosts, draws, (hosts, random) => {
      const ordered = orderHosts(hosts, random);
      assert.deepEqual(ordered.map(({ name }) => name).toSorted(), hosts.map(({ name }) => name).toSorted());
      assert.ok(ordered.every((one, at) => one.preference <= (ordered[at + 1]?.preference ?? Number.POSITIVE_INFINITY)));
      for (const { name, addresses } of ordered) {
        const given = hosts.find((one) => one.name === name);
        assert.ok(addresses.every((address) => given?.ipv4.includes(address) || given?.ipv6.includes(address)));
        assert.equal(addresses.length, Math.min(MAX_ADDRESSES_PER_HOST, (given?.ipv4.length ?? 0) + (given?.ipv6.length ?? 0)));
      }
      if (isOrderFixed(hosts))
        assert.deepEqual(
          ordered,
          orderHosts(hosts, () => 0),
        );
    }),
  );
});

test('each of three equals comes first about as often', () => {
  const hosts: NonEmpty<ResolvedHost> = [host('a.test', 0), host('b.test', 0), host('c.test', 0)];
  const first = new Map<string | null, number>();
  for (let n = 0; n < 3000; n++) {
    const [{ name }] = orderHosts(hosts, Math.random);
    first.set(name, (first.get(name) ?? 0) + 1);
  }
  for (const count of first.values()) assert.ok(count > 800 && count < 1200, String(count));
});

test('MX verdicts never throw and keep to the limits', () => {
  const record = fc.record({
    preference: fc.nat(65535),
    exchange: fc.oneof(fc.domain(), fc.string(), fc.ipV4(), fc.constant('relay.test')),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 40 }), (list) => {
      const verdict = judgeMx(domain, records(...list), isOwnName);
      if (verdict.kind === 'hosts') {
        assert.ok(verdict.hosts.length >= 1 && verdict.hosts.length <= MAX_HOSTS);
        assert.ok(verdict.hosts.every(({ name }) => !isOwnName(name)));
      }
    }),
  );
});
