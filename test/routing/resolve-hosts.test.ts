import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import type { Resolver } from '../../src/dns/resolver.ts';
import { createStubResolver } from '../../src/dns/stub-resolver.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Config } from '../../src/domain/config.ts';
import type { NextHop, OutboundConnector, Route } from '../../src/domain/connector.ts';
import { createHostResolver, type HostPlan, type RouteContext, resolveHosts } from '../../src/routing/resolve-hosts.ts';
import { testClock } from '../support/clock.ts';
import { startDnsServer, type TestDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const never = new AbortController().signal;
const steady = { now: () => 0 as never, monotonic: () => performance.now() };

const zone: Zone = {
  'plain.test': {
    mx: [
      [20, 'mx2.plain.test'],
      [10, 'mx1.plain.test'],
    ],
  },
  'mx1.plain.test': { a: ['192.0.2.1'], aaaa: ['2001:db8::1'] },
  'mx2.plain.test': { a: ['192.0.2.2'] },
  'equal.test': {
    mx: [
      [10, 'mx1.plain.test'],
      [10, 'mx2.plain.test'],
    ],
  },
  'implicit.test': { a: ['192.0.2.3'] },
  'alias.test': { cname: 'plain.test' },
  'null.test': { mx: [[0, '.']] },
  'empty.test': {},
  'address.test': { mx: [[10, '192.0.2.9']] },
  'lost.test': { mx: [[10, 'gone.test']] },
  'half.test': {
    mx: [
      [10, 'failing.test'],
      [20, 'mx2.plain.test'],
    ],
  },
  'failing.test': { does: 'servfail' },
  'all-failing.test': {
    mx: [
      [10, 'failing.test'],
      [20, 'gone.test'],
    ],
  },
  'one-family.test': { mx: [[10, 'six.test']] },
  'six.test': { aaaa: ['2001:db8::6'], does: 'servfail', for: 'A' },
  'servfail.test': { does: 'servfail' },
  'bogus.test': { mx: [[10, 'mx1.plain.test']], does: 'bogus' },
  'bogus-host.test': { mx: [[10, 'bogus-a.test']] },
  'bogus-a.test': { a: ['192.0.2.1'], does: 'bogus' },
  'trap.test': { mx: [[10, 'trap1.test']] },
  'trap1.test': { a: ['127.0.0.1', '10.0.0.1'], aaaa: ['::ffff:169.254.169.254', '::1'] },
  'half-trap.test': { mx: [[10, 'trap2.test']] },
  'trap2.test': { a: ['10.0.0.1', '192.0.2.4'] },
  'self.test': {
    mx: [
      [10, 'relay.test'],
      [20, 'mx2.plain.test'],
    ],
  },
  'behind-self.test': {
    mx: [
      [10, 'mx1.plain.test'],
      [20, 'relay.test'],
      [30, 'mx2.plain.test'],
    ],
  },
  'self-address.test': {
    mx: [
      [10, 'us.test'],
      [20, 'mx2.plain.test'],
    ],
  },
  'behind-self-address.test': {
    mx: [
      [10, 'mx1.plain.test'],
      [20, 'us.test'],
      [30, 'mx2.plain.test'],
    ],
  },
  'us.test': { a: ['192.0.2.25'] },
  'many.test': { mx: Array.from({ length: 60 }, (_, n) => [n, `h${n}.many.test`] as const) },
  ...Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`h${n}.many.test`, n < 7 ? {} : { a: [`192.0.2.${n}`] }])),
  'smart.test': { a: ['10.0.0.5'] },
  'signed.test': { mx: [[10, 'mx.signed.test']], secure: true },
  'mx.signed.test': { a: ['192.0.2.7'], secure: true },
  'signed-alias.test': { cname: 'signed.test', secure: true },
  'signed-implicit.test': { a: ['192.0.2.8'], secure: true },
  'host-alias.test': { mx: [[10, 'alias-of-mx.test']], secure: true },
  'alias-of-mx.test': { cname: 'mx.signed.test', secure: true },
  'host-alias-out.test': { mx: [[10, 'alias-out.test']], secure: true },
  'alias-out.test': { cname: 'mx2.plain.test', secure: true },
  'signed-to-plain.test': { mx: [[10, 'mx2.plain.test']], secure: true },
  'brief.test': { a: ['192.0.2.6'], ttl: 5 },
};

const config = {
  hostname: 'relay.test',
  listeners: [{ port: 2525 }],
  delivery: { port: 25, ipv6: true, allowPrivateAddresses: false },
} as unknown as Config;

const connector = (route: Route, name = 'out'): OutboundConnector => ({ name, route }) as unknown as OutboundConnector;
const byMx = connector({ kind: 'mx' });
const smarthosts = (balance: boolean, first: NextHop, ...rest: NextHop[]): OutboundConnector =>
  connector({ kind: 'smarthost', hosts: [first, ...rest], balance, tls: 'starttls', auth: null });
const named = (name: string, port = 25): NextHop => ({ kind: 'host', name: name as Domain, port });

/** `name[port] address,address` of each host, or the failure. */
const planText = (plan: HostPlan): string =>
  plan.kind === 'failed'
    ? `${plan.failure.enhanced} ${plan.failure.text}`
    : plan.hosts
        .map(({ name, port, addresses }) => `${name ?? '-'}${port === 25 ? '' : `:${port}`} ${addresses.join(',')}`)
        .join(' | ');

type Setting = { server: TestDnsServer; resolver: Resolver; context: RouteContext };
async function withDns(run: (setting: Setting) => Promise<void>): Promise<void> {
  await using server = await startDnsServer({ ...zone });
  const resolver = createStubResolver({
    servers: [server],
    dnssec: 'auto',
    clock: steady,
    randomInt,
    limits: { tryTimeout: 2_000, rounds: 1 },
  });
  const ownAddresses = new Set(['192.0.2.25', '2001:db8::25']);
  try {
    await run({ server, resolver, context: { config, resolver, random: () => 0.999, ownAddresses } });
  } finally {
    resolver.close();
  }
}

const rows: readonly (readonly [domain: string, plan: string])[] = [
  ['plain.test', 'mx1.plain.test 2001:db8::1,192.0.2.1 | mx2.plain.test 192.0.2.2'],
  ['alias.test', 'mx1.plain.test 2001:db8::1,192.0.2.1 | mx2.plain.test 192.0.2.2'],
  ['implicit.test', 'implicit.test 192.0.2.3'],
  ['[192.0.2.7]', '- 192.0.2.7'],
  ['[ipv6:2001:db8::7]', '- 2001:db8::7'],
  ['[127.0.0.1]', '5.4.4 [127.0.0.1] has no mail host this relay connects to: 127.0.0.1 is a loopback address'],
  ['[192.0.2.25]', '5.4.6 mail for [192.0.2.25] would come back to this relay: the best mail host left is this relay itself'],
  ['null.test', '5.1.10 null.test takes no mail (null MX)'],
  ['missing.test', '5.1.2 the domain missing.test does not exist'],
  ['empty.test', '5.1.2 empty.test has no mail server: neither MX nor address records'],
  ['address.test', '5.4.4 the MX records of address.test name no usable host'],
  ['lost.test', '5.4.4 none of the mail hosts of lost.test has an address'],
  ['half.test', 'mx2.plain.test 192.0.2.2'],
  ['all-failing.test', '4.4.3 the DNS records of failing.test could not be looked up: the name server could not find out'],
  ['one-family.test', 'six.test 2001:db8::6'],
  ['servfail.test', '4.4.3 the DNS records of servfail.test could not be looked up: the name server could not find out'],
  ['bogus.test', '4.7.324 the DNS records of bogus.test fail DNSSEC validation'],
  ['bogus-host.test', '4.7.324 the DNS records of bogus-a.test fail DNSSEC validation'],
  ['trap.test', '5.4.4 trap.test has no mail host this relay connects to: 127.0.0.1 is a loopback address'],
  ['half-trap.test', 'trap2.test 192.0.2.4'],
  ['self.test', '5.4.6 mail for self.test would come back to this relay: the best mail host left is this relay itself'],
  ['behind-self.test', 'mx1.plain.test 2001:db8::1,192.0.2.1'],
  [
    'self-address.test',
    '5.4.6 mail for self-address.test would come back to this relay: the best mail host left is this relay itself',
  ],
  ['behind-self-address.test', 'mx1.plain.test 2001:db8::1,192.0.2.1'],
];
test('routes by MX, each as the zone has it', async (suite) => {
  await withDns(async ({ context }) => {
    for (const [domain, expected] of rows) {
      await suite.test(`${domain} -> ${expected}`, async () => {
        const plan = await resolveHosts({ connector: byMx, domain: domain as Domain }, context, never);
        assert.equal(planText(plan), expected);
      });
    }
  });
});

const hostRows: readonly (readonly [what: string, connector: OutboundConnector, plan: string])[] = [
  ['a private smarthost is the operator’s word', smarthosts(false, named('smart.test', 587)), 'smart.test:587 10.0.0.5'],
  [
    'an address',
    smarthosts(false, { kind: 'address', address: '127.0.0.1', port: 2600 }, { kind: 'address', address: '::1', port: 25 }),
    '-:2600 127.0.0.1 | - ::1',
  ],
  [
    'in order',
    smarthosts(false, named('mx2.plain.test'), named('implicit.test')),
    'mx2.plain.test 192.0.2.2 | implicit.test 192.0.2.3',
  ],
  [
    'the MX hosts of a domain',
    smarthosts(false, { kind: 'mx', domain: 'plain.test' as Domain, port: 2600 }, named('implicit.test')),
    'mx1.plain.test:2600 2001:db8::1,192.0.2.1 | mx2.plain.test:2600 192.0.2.2 | implicit.test 192.0.2.3',
  ],
  [
    'one that does not exist is gone without',
    smarthosts(false, named('gone.test'), named('implicit.test')),
    'implicit.test 192.0.2.3',
  ],
  [
    'none that exists: never permanent',
    smarthosts(false, named('gone.test')),
    '4.4.4 no smarthost of connector out can be used: none of the mail hosts of gone.test has an address',
  ],
  [
    'none known: temporary',
    smarthosts(true, named('gone.test'), named('servfail.test')),
    '4.4.3 no smarthost of connector out can be used: the DNS records of servfail.test could not be looked up: the name server could not find out',
  ],
  ['this machine at another port is another server', smarthosts(false, named('us.test', 10025)), 'us.test:10025 192.0.2.25'],
  [
    'this relay itself',
    smarthosts(false, named('us.test', 2525)),
    '4.4.4 no smarthost of connector out can be used: mail for us.test would come back to this relay: the best mail host left is this relay itself',
  ],
  [
    'no address of any host',
    smarthosts(false, { kind: 'address', address: '0.0.0.0', port: 2600 }),
    '4.4.4 no smarthost of connector out can be used: 0.0.0.0 has no mail host this relay connects to: 0.0.0.0 is no address of any host',
  ],
  ['a route that rejects', connector({ kind: 'reject', text: 'not from here' }), '5.7.1 not from here'],
];
test('routes the operator named', async (suite) => {
  await withDns(async ({ context }) => {
    for (const [what, out, expected] of hostRows) {
      await suite.test(what, async () => {
        const plan = await resolveHosts({ connector: out, domain: 'x.test' as Domain }, context, never);
        assert.equal(planText(plan), expected);
      });
    }
  });
});

/** `MX secure|insecure of NAMES; addresses secure|insecure at CANONICAL`. */
const proofText = (plan: HostPlan): string => {
  if (plan.kind === 'failed') return planText(plan);
  const [{ mxSecure, nextHopNames, addressesSecure, canonicalName }] = plan.hosts;
  const word = (secure: boolean): string => (secure ? 'secure' : 'insecure');
  return `${word(mxSecure)} of ${nextHopNames.join(' ') || '-'}; ${word(addressesSecure)} at ${canonicalName ?? '-'}`;
};
const proofRows: readonly (readonly [connector: OutboundConnector, domain: string, proof: string])[] = [
  [byMx, 'plain.test', 'insecure of plain.test; insecure at mx1.plain.test'],
  [byMx, 'signed.test', 'secure of signed.test; secure at mx.signed.test'],
  [byMx, 'signed-alias.test', 'secure of signed-alias.test signed.test; secure at mx.signed.test'],
  [byMx, 'signed-implicit.test', 'secure of signed-implicit.test; secure at signed-implicit.test'],
  [byMx, 'host-alias.test', 'secure of host-alias.test; secure at mx.signed.test'],
  [byMx, 'host-alias-out.test', 'secure of host-alias-out.test; insecure at mx2.plain.test'],
  [byMx, 'signed-to-plain.test', 'secure of signed-to-plain.test; insecure at mx2.plain.test'],
  [byMx, '[192.0.2.7]', 'insecure of -; insecure at -'],
  [smarthosts(false, named('implicit.test')), 'x.test', 'secure of implicit.test; insecure at implicit.test'],
  [smarthosts(false, named('mx.signed.test')), 'x.test', 'secure of mx.signed.test; secure at mx.signed.test'],
  [
    smarthosts(false, { kind: 'mx', domain: 'signed.test' as Domain, port: 25 }),
    'x.test',
    'secure of signed.test; secure at mx.signed.test',
  ],
  [
    smarthosts(false, { kind: 'mx', domain: 'plain.test' as Domain, port: 25 }),
    'x.test',
    'insecure of plain.test; insecure at mx1.plain.test',
  ],
  [smarthosts(false, { kind: 'address', address: '192.0.2.7', port: 25 }), 'x.test', 'insecure of -; insecure at -'],
];
test('what DNSSEC says of a host goes with it', async (suite) => {
  await withDns(async ({ context }) => {
    for (const [out, domain, proof] of proofRows) {
      await suite.test(`${out.route.kind} ${domain}: ${proof}`, async () => {
        assert.equal(proofText(await resolveHosts({ connector: out, domain: domain as Domain }, context, never)), proof);
      });
    }
  });
});

test('balanced smarthosts are equals in random order, those in order are not', async () => {
  await withDns(async ({ context }) => {
    const hops = [named('mx2.plain.test'), named('implicit.test')] as const;
    const plans = await Promise.all(
      [0, 0.999].map((drawn) =>
        resolveHosts(
          { connector: smarthosts(true, ...hops), domain: 'x.test' as Domain },
          { ...context, random: () => drawn },
          never,
        ),
      ),
    );
    assert.deepEqual(plans.map(planText).toSorted(), [
      'implicit.test 192.0.2.3 | mx2.plain.test 192.0.2.2',
      'mx2.plain.test 192.0.2.2 | implicit.test 192.0.2.3',
    ]);
    const preferences = (plan: HostPlan | undefined): unknown =>
      plan?.kind === 'hosts' && plan.hosts.map(({ preference }) => preference);
    assert.deepEqual(preferences(plans[0]), [0, 0]);
    assert.deepEqual(
      preferences(await resolveHosts({ connector: smarthosts(false, ...hops), domain: 'x.test' as Domain }, context, never)),
      [0, 1],
    );
  });
});

test('without IPv6 no AAAA is asked for; with private addresses allowed they are used', async () => {
  await withDns(async ({ context, server }) => {
    const delivery = { ...config.delivery, ipv6: false, allowPrivateAddresses: true };
    const lenient = { ...context, config: { ...config, delivery } };
    const plan = await resolveHosts({ connector: byMx, domain: 'trap.test' as Domain }, lenient, never);
    assert.equal(planText(plan), 'trap1.test 127.0.0.1,10.0.0.1');
    assert.ok(server.seen.every(({ type }) => type !== 'AAAA'));
  });
});

test('of sixty hosts only the best are looked up, until there are addresses enough', async () => {
  await withDns(async ({ context, server }) => {
    const plan = await resolveHosts({ connector: byMx, domain: 'many.test' as Domain }, context, never);
    assert.equal(plan.kind === 'hosts' && plan.hosts[0].name, 'h7.many.test');
    assert.ok(server.seen.length < 45, String(server.seen.length));
  });
});

test('an abort ends the wait with a temporary failure', async () => {
  await withDns(async ({ context, server }) => {
    server.zone['silent.test'] = { does: 'noreply' };
    const stop = new AbortController();
    const plan = resolveHosts({ connector: byMx, domain: 'silent.test' as Domain }, context, stop.signal);
    stop.abort();
    assert.match(planText(await plan), /^4\.4\.3 /);
    assert.match(
      planText(await resolveHosts({ connector: byMx, domain: 'x.test' as Domain }, context, stop.signal)),
      /^4\.4\.3 /,
    );
  });
});

test('a known destination is answered at once, until its TTL or a minute is over', async () => {
  await withDns(async ({ context, server }) => {
    const clock = testClock();
    const hosts = createHostResolver({ ...context, config: () => config, clock });
    const ask = (domain: string): HostPlan | Promise<HostPlan> => hosts.resolve(byMx, { domain: domain as Domain });
    const many = Array.from({ length: 20 }, () => ask('brief.test'));
    assert.ok(many[0] instanceof Promise);
    assert.equal(planText(await many[0]), 'brief.test 192.0.2.6');
    await Promise.all(many);
    assert.equal(server.seen.length, 3);
    clock.advance(4_999);
    const known = ask('brief.test');
    assert.ok(!(known instanceof Promise));
    assert.equal(known, ask('brief.test'));
    clock.advance(1);
    assert.ok(ask('brief.test') instanceof Promise);
    await ask('brief.test');
    await ask('missing.test');
    clock.advance(59_999);
    assert.ok(!(ask('missing.test') instanceof Promise));
    clock.advance(1);
    assert.ok(ask('missing.test') instanceof Promise);
    await ask('missing.test');
  });
});

test('a temporary failure is not kept', async () => {
  await withDns(async ({ context }) => {
    const hosts = createHostResolver({ ...context, config: () => config, clock: testClock() });
    assert.match(planText(await hosts.resolve(byMx, { domain: 'servfail.test' as Domain })), /^4/);
    assert.ok(hosts.resolve(byMx, { domain: 'servfail.test' as Domain }) instanceof Promise);
    await hosts.resolve(byMx, { domain: 'servfail.test' as Domain });
  });
});

test('equals are drawn anew at each message', async () => {
  await withDns(async ({ context }) => {
    let drawn = 0;
    const hosts = createHostResolver({ ...context, config: () => config, clock: testClock(), random: () => drawn });
    const ask = async (): Promise<string> => planText(await hosts.resolve(byMx, { domain: 'equal.test' as Domain })).slice(0, 14);
    const first = await ask();
    drawn = 0.999;
    assert.notEqual(await ask(), first);
  });
});

test('connectors do not share smarthosts, and a new configuration starts afresh', async () => {
  await withDns(async ({ context }) => {
    let current = config;
    const hosts = createHostResolver({ ...context, config: () => current, clock: testClock() });
    const [one, other] = [smarthosts(false, named('implicit.test')), smarthosts(false, named('mx2.plain.test'))];
    const domain = 'x.test' as Domain;
    assert.equal(planText(await hosts.resolve(one, { domain })), 'implicit.test 192.0.2.3');
    assert.equal(planText(await hosts.resolve(other, { domain })), 'mx2.plain.test 192.0.2.2');
    assert.ok(!(hosts.resolve(one, { domain: 'y.test' as Domain }) instanceof Promise));
    current = { ...config, delivery: { ...config.delivery, port: 2600 } };
    assert.equal(planText(await hosts.resolve(byMx, { domain: 'implicit.test' as Domain })), 'implicit.test:2600 192.0.2.3');
    assert.ok(hosts.resolve(one, { domain }) instanceof Promise);
    await hosts.resolve(one, { domain });
  });
});
