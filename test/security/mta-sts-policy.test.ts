/** What to do about a domain's policy: every combination of cache, record and clock has its row. RFC 8461, sections 3.3, 4.1, 5. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { DnsAnswer } from '../../src/domain/dns.ts';
import { policyEnd, type StoredPolicy, type StsMode, type StsProblem } from '../../src/domain/mta-sts.ts';
import type { NamePattern } from '../../src/domain/peer.ts';
import {
  decideSts,
  FETCH_INTERVAL,
  freshFor,
  isAlive,
  isRenewalDue,
  isRenewalWorthwhile,
  isUseNewsworthy,
  permitsHost,
  readStsAnswer,
  type StsDecision,
  type StsLookup,
  stsStatus,
} from '../../src/security/mta-sts-policy.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const NOW = Date.UTC(2026, 0, 10) as Instant;
const ago = (time: number): Instant => (NOW - time) as Instant;
const domain = (name: string): Domain => name as Domain;

function policy(age: number, change: Partial<StoredPolicy> = {}): StoredPolicy {
  const mx: readonly NamePattern[] = [{ kind: 'exact', domain: domain('mx.example.test') }];
  const facts = { domain: domain('example.test'), id: 'one', mode: 'enforce', mx, maxAgeSeconds: 7 * 86_400 } as const;
  return { ...facts, fetchedAt: ago(age), usedAt: ago(age), ...change };
}

const CACHED = {
  none: null,
  ended: policy(8 * DAY),
  new: policy(MINUTE),
  settled: policy(2 * 60 * MINUTE),
  'a day old': policy(DAY),
  'mode none': policy(2 * 60 * MINUTE, { mode: 'none', mx: [] }),
} as const;
const LOOKUPS = {
  same: { kind: 'id', id: 'one' },
  changed: { kind: 'id', id: 'two' },
  absent: { kind: 'absent' },
  failed: { kind: 'problem', problem: { kind: 'lookup', problem: 'timeout' } },
  bogus: { kind: 'problem', problem: { kind: 'lookup', problem: 'bogus' } },
  several: { kind: 'problem', problem: { kind: 'record', fault: 'several' } },
  invalid: { kind: 'problem', problem: { kind: 'record', fault: 'invalid' } },
} as const satisfies Record<string, StsLookup>;
const FETCHED = {
  never: null,
  'a minute ago': ago(MINUTE),
  'five minutes ago': ago(FETCH_INTERVAL),
  'in the future': ago(-DAY),
} as const;

type Row = Readonly<Record<keyof typeof LOOKUPS, StsDecision>>;
const row = (same: StsDecision, changed: StsDecision, others: StsDecision, failed = others): Row => ({
  same,
  changed,
  absent: others,
  several: others,
  invalid: others,
  failed,
  bogus: failed,
});

const FETCH = row('fetch', 'fetch', 'none');
const NOTHING = row('none', 'none', 'none');
const CACHE = row('use-cached', 'use-cached', 'use-cached');
/** By what is cached: what is done where a fetch may be tried, and where one was tried less than five minutes ago. */
const TABLE: Readonly<Record<keyof typeof CACHED, { readonly free: Row; readonly held: Row }>> = {
  none: { free: FETCH, held: NOTHING },
  ended: { free: FETCH, held: NOTHING },
  // Its own fetch was less than five minutes ago.
  new: { free: CACHE, held: CACHE },
  settled: { free: row('use-cached', 'fetch', 'use-cached'), held: CACHE },
  // A record that was taken away ends a policy in its time; one that is only out of reach must not.
  'a day old': { free: row('fetch-in-background', 'fetch', 'use-cached', 'fetch-in-background'), held: CACHE },
  'mode none': { free: row('use-cached', 'fetch', 'use-cached'), held: CACHE },
};

const keys = <K extends string>(table: Readonly<Record<K, unknown>>): readonly K[] => Object.keys(table) as K[];

describe('decisions', () => {
  for (const cached of keys(CACHED)) {
    for (const lookup of keys(LOOKUPS)) {
      for (const fetched of keys(FETCHED)) {
        const expected = TABLE[cached][fetched === 'a minute ago' ? 'held' : 'free'][lookup];
        test(`cached: ${cached}; record: ${lookup}; fetched: ${fetched} -> ${expected}`, () => {
          const facts = { cached: CACHED[cached], lookup: LOOKUPS[lookup], lastFetchAt: FETCHED[fetched], now: NOW };
          assert.equal(decideSts(facts), expected);
        });
      }
    }
  }
});

const anyLookup = fc.constantFrom(...Object.values(LOOKUPS));
const anyMode = fc.constantFrom<StsMode>('enforce', 'testing', 'none');
const anyPolicy = fc
  .tuple(fc.integer({ min: 0, max: 400 * DAY }), fc.nat(31_557_600), anyMode)
  .map(([age, maxAgeSeconds, mode]) => policy(age, { maxAgeSeconds, mode }));
const anyFetch = fc.option(fc.integer({ min: 0, max: DAY }).map(ago));

test('a policy that is alive is never lost, whatever the record says', () => {
  fc.assert(
    fc.property(anyPolicy, anyLookup, anyFetch, (cached, lookup, lastFetchAt) => {
      fc.pre(isAlive(cached, NOW));
      assert.notEqual(decideSts({ cached, lookup, lastFetchAt, now: NOW }), 'none');
    }),
  );
});

test('one that has ended is never used', () => {
  fc.assert(
    fc.property(anyPolicy, anyLookup, anyFetch, (cached, lookup, lastFetchAt) => {
      fc.pre(!isAlive(cached, NOW));
      assert.ok(['none', 'fetch'].includes(decideSts({ cached, lookup, lastFetchAt, now: NOW })));
      assert.equal(stsStatus(cached, null, NOW).kind, 'not-applicable');
    }),
  );
});

test('never two fetches within five minutes', () => {
  fc.assert(
    fc.property(fc.option(anyPolicy), anyLookup, fc.nat(FETCH_INTERVAL - 1).map(ago), (cached, lookup, lastFetchAt) => {
      assert.ok(['none', 'use-cached'].includes(decideSts({ cached, lookup, lastFetchAt, now: NOW })));
    }),
  );
});

describe('lifetimes', () => {
  const ends: readonly [maxAgeSeconds: number, lives: number][] = [
    [0, FETCH_INTERVAL],
    [299, FETCH_INTERVAL],
    [301, 301_000],
    [86_400, DAY],
  ];
  for (const [maxAgeSeconds, lives] of ends) {
    test(`max_age ${maxAgeSeconds}: in force for ${lives / 1000} seconds`, () => {
      assert.equal(policyEnd(policy(0, { maxAgeSeconds })), NOW + lives);
      assert.ok(isAlive(policy(lives - 1, { maxAgeSeconds }), NOW));
      assert.ok(!isAlive(policy(lives, { maxAgeSeconds }), NOW));
    });
  }
  test('renewed after a day', () => {
    assert.ok(!isRenewalDue(policy(DAY - 1), NOW));
    assert.ok(isRenewalDue(policy(DAY), NOW));
  });
  test('renewed after half its life where that is less than a day', () => {
    assert.ok(!isRenewalDue(policy(30 * MINUTE - 1, { maxAgeSeconds: 3600 }), NOW));
    assert.ok(isRenewalDue(policy(30 * MINUTE, { maxAgeSeconds: 3600 }), NOW));
  });
  test('unasked: renewed while alive, due, and used within thirty days', () => {
    const long = { maxAgeSeconds: 31_557_600 };
    assert.ok(isRenewalWorthwhile(policy(DAY, { ...long, usedAt: ago(30 * DAY - 1) }), NOW));
    assert.ok(!isRenewalWorthwhile(policy(DAY, { ...long, usedAt: ago(30 * DAY) }), NOW));
    assert.ok(!isRenewalWorthwhile(policy(DAY - 1, long), NOW));
    assert.ok(!isRenewalWorthwhile(policy(8 * DAY), NOW));
  });
  test('use is noted once a day', () => {
    assert.ok(!isUseNewsworthy(policy(DAY - 1), NOW));
    assert.ok(isUseNewsworthy(policy(DAY), NOW));
  });
});

describe('what is in force', () => {
  const problem: StsProblem = { kind: 'lookup', problem: 'servfail' };
  test('nothing known: not applicable, and why if something went wrong', () => {
    assert.deepEqual(stsStatus(null, null, NOW), { kind: 'not-applicable', problem: null });
    assert.deepEqual(stsStatus(null, problem, NOW), { kind: 'not-applicable', problem });
  });
  test('an ended policy is none', () => {
    assert.deepEqual(stsStatus(policy(8 * DAY), problem, NOW), { kind: 'not-applicable', problem });
  });
  test('mode none: the domain says so itself, nothing went wrong', () => {
    assert.deepEqual(stsStatus(policy(DAY, { mode: 'none' }), problem, NOW), { kind: 'not-applicable', problem: null });
  });
  for (const mode of ['enforce', 'testing'] as const) {
    test(`${mode}: the policy, and what hindered its renewal`, () => {
      const { domain, id, mx, maxAgeSeconds } = policy(0);
      const ends = policyEnd(policy(DAY));
      const status = { kind: 'policy', domain, id, mode, mx, maxAgeSeconds, ends, problem } as const;
      assert.deepEqual(stsStatus(policy(DAY, { mode }), problem, NOW), status);
    });
  }
});

describe('answers', () => {
  const yes = (records: readonly string[]): DnsAnswer<string> => ({
    kind: 'records',
    records,
    secure: false,
    ttlSeconds: 300,
    canonicalName: '_mta-sts.example.test',
  });
  const no: DnsAnswer<string> = { kind: 'absent', nxdomain: true, secure: false, ttlSeconds: 60 };
  const rows: readonly [answer: DnsAnswer<string>, lookup: StsLookup][] = [
    [yes(['v=STSv1; id=one;']), LOOKUPS.same],
    [yes(['v=spf1 -all']), LOOKUPS.absent],
    [yes(['v=STSv1; id=one;', 'v=STSv1; id=two;']), LOOKUPS.several],
    [yes(['v=STSv1; id=!;']), LOOKUPS.invalid],
    [no, LOOKUPS.absent],
    [{ kind: 'bogus' }, LOOKUPS.bogus],
    [{ kind: 'unknown', problem: 'timeout' }, LOOKUPS.failed],
  ];
  for (const [answer, lookup] of rows) {
    test(`${JSON.stringify(answer)} -> ${JSON.stringify(lookup)}`, () => assert.deepEqual(readStsAnswer(answer), lookup));
  }

  const SEEN = { failed: false, now: NOW };
  const fresh: readonly [name: string, milliseconds: number, expected: number][] = [
    ['a TTL of five minutes', freshFor(yes([]), null, SEEN), 5 * MINUTE],
    ['a TTL of zero: a minute', freshFor({ ...no, ttlSeconds: 0 }, null, SEEN), MINUTE],
    ['a TTL of a day: an hour', freshFor({ ...no, ttlSeconds: 86_400 }, null, SEEN), 60 * MINUTE],
    ['nothing learned: a minute', freshFor({ kind: 'bogus' }, null, SEEN), MINUTE],
    [
      'a failed fetch: until the next may be tried',
      freshFor({ ...no, ttlSeconds: 3600 }, null, { ...SEEN, failed: true }),
      FETCH_INTERVAL,
    ],
    ['until the policy ends', freshFor(yes([]), policy(7 * DAY - 1000), SEEN), 1000],
    ['until the policy is to be renewed', freshFor(yes([]), policy(DAY - 1000), SEEN), 1000],
    ['an ended policy holds nothing up', freshFor(yes([]), policy(8 * DAY), SEEN), 5 * MINUTE],
  ];
  for (const [name, milliseconds, expected] of fresh) test(`fresh: ${name}`, () => assert.equal(milliseconds, expected));
});

describe('hosts', () => {
  const mx: readonly NamePattern[] = [
    { kind: 'exact', domain: domain('mail.example.test') },
    { kind: 'one-below', domain: domain('mx.example.test') },
    { kind: 'one-below', domain: domain('test') },
  ];
  const rows: readonly [host: string, permitted: boolean][] = [
    ['mail.example.test', true],
    ['xmail.example.test', false],
    ['a.mail.example.test', false],
    ['mail.example.test.evil.invalid', false],
    ['a.mx.example.test', true],
    ['mx.example.test', false],
    ['a.b.mx.example.test', false],
    ['amx.example.test', false],
    ['one.test', true],
    ['test', false],
  ];
  for (const [host, permitted] of rows) {
    test(`${host}: ${permitted ? 'permitted' : 'not permitted'}`, () =>
      assert.equal(permitsHost({ mx }, domain(host)), permitted));
  }
  test('no patterns: no host', () => assert.equal(permitsHost({ mx: [] }, domain('a.test')), false));
});
