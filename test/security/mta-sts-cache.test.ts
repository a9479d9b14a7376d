/**
 * Policies as deliveries meet them, over days of a clock moved by hand: a real name server, a real policy host, the real store.
 * RFC 8461, sections 3.3, 5 and 8.3.
 */
import { strict as assert } from 'node:assert';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { createStubResolver } from '../../src/dns/stub-resolver.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { StoredPolicy } from '../../src/domain/mta-sts.ts';
import { namePatternText } from '../../src/domain/peer.ts';
import { type MtaStsPolicies, openMtaStsPolicies, type PolicyStore, spoolPolicies } from '../../src/security/mta-sts-cache.ts';
import { createStsFetch } from '../../src/security/mta-sts-fetch.ts';
import type { MtaStsStatus } from '../../src/security/mta-sts-policy.ts';
import { tempQueue } from '../spool/temp-queue.ts';
import { type TestClock, testClock } from '../support/clock.ts';
import { startDnsServer } from '../support/dns-server.ts';
import type { ZoneName } from '../support/dns-zone.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type PolicySite, startPolicyHost } from '../support/policy-host.ts';

checkLeaks();

const DOMAIN = 'example.test' as Domain;
const RECORD = `_mta-sts.${DOMAIN}`;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const txt = (id: string): ZoneName => ({ txt: [[`v=STSv1; id=${id};`]] });

/** A store several threads share, as far as this file's single thread can tell. */
function sharedStore(): PolicyStore & { readonly kept: Map<Domain, StoredPolicy>; puts: number } {
  const kept = new Map<Domain, StoredPolicy>();
  const listeners: ((policy: StoredPolicy) => void)[] = [];
  const store = {
    kept,
    puts: 0,
    load: async () => [...kept.values()],
    put(policy: StoredPolicy) {
      store.puts++;
      kept.set(policy.domain, policy);
      for (const listener of listeners) listener(policy);
    },
    onChange: (listener: (policy: StoredPolicy) => void) => void listeners.push(listener),
  };
  return store;
}

/** In one line: `enforce one mx.example.test`, `-`, and behind a bar why nothing newer is known. */
function told(status: MtaStsStatus): string {
  const problem =
    status.problem === null ? '' : ` | ${status.problem.kind === 'fetch' ? status.problem.failure.kind : status.problem.kind}`;
  if (status.kind === 'not-applicable') return `-${problem}`;
  return `${[status.mode, status.id, ...status.mx.map(namePatternText)].join(' ')}${problem}`;
}

/** The world of one test: example.test publishes policy `one` in mode enforce unless the test says otherwise. */
async function world(site: PolicySite = {}, record: ZoneName = txt('one')) {
  const stack = new AsyncDisposableStack();
  const host = stack.use(await startPolicyHost({ [DOMAIN]: { mx: ['mx.example.test'], ...site } }));
  const dns = stack.use(await startDnsServer({ [RECORD]: record, [`mta-sts.${DOMAIN}`]: { a: ['127.0.0.1'] } }));
  // The store prunes by the real time.
  const clock: TestClock = testClock(Date.now());
  const store = sharedStore();
  const news: string[] = [];
  const open = async (from: PolicyStore = store): Promise<MtaStsPolicies> => {
    const servers = [{ address: dns.address, port: dns.port }];
    const resolver = createStubResolver({ servers, dnssec: 'off', clock, randomInt: (below) => randomInt(below) });
    const context = { resolver, ipv6: false, mayConnect: () => true, ca: [host.caPem], port: host.port, patience: 5_000 };
    const policies = await openMtaStsPolicies({
      store: from,
      resolver,
      clock,
      fetch: createStsFetch(context),
      onNews: (item) =>
        news.push(item.kind === 'fetched' ? `fetched ${item.policy.id}` : `${item.problem.kind} ${item.cached ? 'cached' : '-'}`),
    });
    stack.defer(() => policies.close().then(() => resolver.close()));
    return policies;
  };
  const policies = await open();
  return {
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
    host,
    dns,
    clock,
    store,
    news,
    open,
    policies,
    ask: async (from = policies) => told(await from.statusFor(DOMAIN)),
    fetches: () => host.seen.length,
    publish: (id: string, change: PolicySite = {}) => {
      dns.zone[RECORD] = txt(id);
      host.sites[DOMAIN] = { mx: ['mx.example.test'], ...change };
    },
  };
}

const NO_ADDRESS_LITERAL = '[192.0.2.1]' as Domain;

test('found once, then known at once', async () => {
  await using it = await world();
  assert.equal(await it.ask(), 'enforce one mx.example.test');
  const again = it.policies.statusFor(DOMAIN);
  assert.ok(!(again instanceof Promise));
  assert.equal(again, it.policies.statusFor(DOMAIN), 'the very same object');
  assert.equal(it.fetches(), 1);
  assert.deepEqual(it.news, ['fetched one']);
  assert.equal(it.store.kept.get(DOMAIN)?.id, 'one');
});

test('many ask at the same time: one lookup, one fetch', async () => {
  await using it = await world();
  const answers = await Promise.all(Array.from({ length: 50 }, () => it.ask()));
  assert.deepEqual(new Set(answers), new Set(['enforce one mx.example.test']));
  assert.equal(it.fetches(), 1);
  assert.equal(it.dns.seen.filter(({ type }) => type === 'TXT').length, 1);
});

test('testing and none', async () => {
  await using testing = await world({ mode: 'testing' });
  assert.equal(await testing.ask(), 'testing one mx.example.test');
  await using none = await world({ mode: 'none', mx: [] });
  assert.equal(await none.ask(), '-');
  none.clock.advance(HOUR);
  assert.equal(await none.ask(), '-');
  assert.equal(none.fetches(), 1, 'what says that there is none is remembered, too');
});

test('no record: nothing fetched, and that is remembered', async () => {
  await using it = await world({}, { txt: [['v=spf1 -all']] });
  assert.equal(await it.ask(), '-');
  assert.ok(!(it.policies.statusFor(DOMAIN) instanceof Promise));
  assert.equal(it.fetches(), 0);
  assert.deepEqual(it.news, []);
});

test('an address literal has no policy, and nobody is asked', async () => {
  await using it = await world();
  assert.deepEqual(it.policies.statusFor(NO_ADDRESS_LITERAL), { kind: 'not-applicable', problem: null });
  assert.equal(it.dns.seen.length, 0);
});

test('two records, a broken one: no policy, said aloud', async () => {
  await using it = await world({}, { txt: [['v=STSv1; id=one;'], ['v=STSv1; id=two;']] });
  assert.equal(await it.ask(), '- | record');
  assert.deepEqual([it.fetches(), it.news], [0, ['record -']]);
});

test('the record in several strings, behind a CNAME', async () => {
  await using it = await world({}, { cname: '_mta-sts.provider.test' });
  it.dns.zone['_mta-sts.provider.test'] = { txt: [['v=STS', 'v1; id=o', 'ne;']] };
  assert.equal(await it.ask(), 'enforce one mx.example.test');
});

const broken: readonly [site: PolicySite, problem: string][] = [
  [{ does: 'not-found' }, 'status'],
  [{ does: 'redirect' }, 'status'],
  [{ does: 'wrong-certificate' }, 'name-mismatch'],
  [{ does: 'expired-certificate' }, 'untrusted'],
  [{ does: 'oversized' }, 'too-large'],
  [{ does: 'wrong-type' }, 'media-type'],
  [{ text: 'mode: enforce' }, 'invalid'],
];
for (const [site, problem] of broken) {
  test(`first contact, ${site.does ?? 'invalid policy'}: none, reported, tried again after five minutes`, async () => {
    await using it = await world(site);
    assert.equal(await it.ask(), `- | ${problem}`);
    it.clock.advance(4 * MINUTE);
    assert.equal(await it.ask(), `- | ${problem}`);
    assert.ok(it.host.connections() === 1, 'not asked again so soon');
    it.clock.advance(MINUTE);
    it.publish('one');
    assert.equal(await it.ask(), 'enforce one mx.example.test');
    assert.deepEqual(it.news, ['fetch -', 'fetched one']);
  });

  test(`a cached policy outlives ${site.does ?? 'an invalid one'}`, async () => {
    await using it = await world();
    await it.ask();
    it.clock.advance(HOUR);
    it.publish('two', site);
    assert.equal(await it.ask(), `enforce one mx.example.test | ${problem}`);
    assert.deepEqual(it.news, ['fetched one', 'fetch cached']);
    it.clock.advance(7 * DAY - HOUR - 1);
    assert.equal(await it.ask(), `enforce one mx.example.test | ${problem}`, 'to the last moment');
    it.clock.advance(5 * MINUTE);
    assert.equal(await it.ask(), `- | ${problem}`, 'and no longer');
  });
}

test('a changed id: the delivery that sees it waits for the new policy', async () => {
  await using it = await world();
  await it.ask();
  it.clock.advance(HOUR);
  it.publish('two', { mode: 'testing', mx: ['new.example.test'] });
  assert.equal(await it.ask(), 'testing two new.example.test');
  assert.equal(it.fetches(), 2);
});

test('an id that changes all the time: at most one fetch in five minutes', async () => {
  await using it = await world();
  for (let minute = 0; minute < 30; minute++) {
    it.dns.zone[RECORD] = { ...txt(`n${minute}`), ttl: 1 };
    await it.ask();
    it.clock.advance(MINUTE);
  }
  assert.equal(it.fetches(), 6);
});

for (const [name, record] of [
  ['taken away', {}],
  ['doubled', { txt: [['v=STSv1; id=one;'], ['v=STSv1; id=two;']] }],
] as const) {
  test(`the record ${name}: the policy stays to its end and is not renewed`, async () => {
    await using it = await world();
    await it.ask();
    it.dns.zone[RECORD] = record;
    for (let day = 0; day < 6; day++) {
      it.clock.advance(DAY);
      assert.match(await it.ask(), /^enforce one /);
    }
    assert.equal(it.fetches(), 1);
    it.clock.advance(DAY);
    assert.match(await it.ask(), /^-/);
  });
}

test('removal as RFC 8461, section 8.3, has it: a policy of mode none ends the old one at once', async () => {
  await using it = await world();
  await it.ask();
  it.clock.advance(HOUR);
  it.publish('two', { mode: 'none', mx: [], maxAge: 86_400 });
  assert.equal(await it.ask(), '-');
});

for (const does of ['servfail', 'refused', 'bogus'] as const) {
  test(`the record out of reach (${does}): the policy is used, renewed in the background, and does not end`, async () => {
    await using it = await world();
    await it.ask();
    it.dns.zone[RECORD] = { does };
    for (let day = 0; day < 20; day++) {
      it.clock.advance(DAY);
      assert.equal(await it.ask(), 'enforce one mx.example.test | lookup');
      await it.policies.renewDue();
    }
    assert.ok(it.fetches() >= 20, `${it.fetches()} fetches`);
  });
}

test('the record out of reach at first contact: none, and asked again after a minute', async () => {
  await using it = await world({}, { does: 'servfail' });
  assert.equal(await it.ask(), '- | lookup');
  it.dns.zone[RECORD] = txt('one');
  assert.ok(!(it.policies.statusFor(DOMAIN) instanceof Promise));
  it.clock.advance(MINUTE);
  assert.equal(await it.ask(), 'enforce one mx.example.test');
});

test('a day old: renewed in the background while deliveries go on with what is known', async () => {
  await using it = await world();
  await it.ask();
  it.clock.advance(DAY);
  it.host.sites[DOMAIN] = { does: 'silent' };
  assert.equal(await it.ask(), 'enforce one mx.example.test');
});

test('nobody asks: renewed all the same for thirty days, then left to end', async () => {
  await using it = await world();
  await it.ask();
  for (let day = 0; day < 60; day++) {
    it.clock.advance(DAY);
    await it.policies.renewDue();
  }
  assert.ok(it.fetches() >= 29 && it.fetches() <= 31, `${it.fetches()} fetches`);
  const before = it.fetches();
  assert.equal(await it.ask(), 'enforce one mx.example.test');
  assert.equal(it.fetches(), before + 1, 'ended, so the next delivery fetched it anew');
});

test('renewal that fails: tried once an hour, told each time', async () => {
  await using it = await world();
  await it.ask();
  it.publish('one', { does: 'not-found' });
  it.clock.advance(DAY);
  for (let minute = 0; minute < 120; minute++) {
    await it.policies.renewDue();
    it.clock.advance(MINUTE);
  }
  assert.equal(it.fetches(), 1 + 2);
  assert.deepEqual(it.news, ['fetched one', 'fetch cached', 'fetch cached']);
});

test('use is noted in the store once a day, not at every message', async () => {
  await using it = await world({ maxAge: 31_557_600 });
  await it.ask();
  const puts = it.store.puts;
  for (let hour = 0; hour < 23; hour++) {
    it.clock.advance(HOUR);
    await it.ask();
  }
  assert.equal(it.store.puts, puts);
});

test('what one thread fetched the others know', async () => {
  await using it = await world();
  const other = await it.open();
  assert.equal(await it.ask(other), 'enforce one mx.example.test');
  it.clock.advance(HOUR);
  it.publish('two', { mode: 'testing' });
  assert.equal(await it.ask(), 'testing two mx.example.test');
  assert.equal(await it.ask(other), 'testing two mx.example.test');
  assert.equal(it.fetches(), 2);
});

test('a restart: nothing is forgotten, though the policy host is gone', async () => {
  await using it = await world();
  await using queue = await tempQueue();
  const first = await it.open(spoolPolicies(queue.connect()));
  assert.equal(await it.ask(first), 'enforce one mx.example.test');
  await first.close();
  await queue.restart();
  it.dns.zone[RECORD] = { does: 'servfail' };
  it.host.sites[DOMAIN] = { does: 'hang-up' };
  const second = await it.open(spoolPolicies(queue.connect()));
  assert.equal(await it.ask(second), 'enforce one mx.example.test | lookup');
  assert.equal(it.fetches(), 1);
});

test('threads on the real store: one fetches, both know', async () => {
  await using it = await world();
  await using queue = await tempQueue();
  const [one, two] = [queue.connect(), queue.connect()];
  const [first, second] = [await it.open(spoolPolicies(one)), await it.open(spoolPolicies(two))];
  assert.equal(await it.ask(first), 'enforce one mx.example.test');
  // What `two` is answered was posted after the news.
  await two.recallPolicies();
  assert.equal(await it.ask(second), 'enforce one mx.example.test');
  assert.equal(it.fetches(), 1);
});

test('closing ends a fetch under way, and nothing is made of it', async () => {
  await using it = await world({ does: 'silent' });
  const asked = it.ask();
  while (it.fetches() === 0) await new Promise((resolve) => setImmediate(resolve));
  await it.policies.close();
  assert.equal(await asked, '-');
  assert.deepEqual(it.news, []);
});

test('the clock set back: policies live on, fetches are not held up', async () => {
  await using it = await world();
  await it.ask();
  it.clock.advance(-DAY);
  it.publish('two', { mode: 'testing' });
  const other = await it.open();
  assert.equal(await it.ask(other), 'testing two mx.example.test');
});
