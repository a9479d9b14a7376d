/** A recipient's next state, as a table (architecture.md, section 4), and the retry schedule. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  attentionAt,
  type DownDecision,
  decideWhileDown,
  retryInterval,
  scheduleFor,
  settleRecipient,
} from '../../src/delivery/retry-policy.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { RetrySchedule } from '../../src/domain/connector.ts';
import type { DeliveryFailure, DeliveryOutcome } from '../../src/domain/outcome.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const schedule: RetrySchedule = {
  intervals: [MINUTE, 5 * MINUTE, 2 * HOUR],
  delayNoticeAfter: 4 * HOUR,
  expireAfter: 120 * HOUR,
};
const failure: DeliveryFailure = {
  permanent: false,
  enhanced: '4.4.1',
  text: 'no answer',
  reply: null,
  mx: 'mx.test',
  ip: '192.0.2.1',
};
const claimed = (attempts: number, delayNoticeSent = false) => ({
  number: 3,
  recipient: { mailbox: { localPart: 'a', domain: 'b.test' as Domain }, notify: null, originalRecipient: null },
  attempts,
  delayNoticeSent,
});
const start = 1_000_000_000_000;
const ageFacts = (age: number) => ({ receivedAt: start as Instant, now: (start + age) as Instant, schedule });
const facts = (age: number, chance = 0.5) => ({ ...ageFacts(age), chance, downUntil: null });
const deferred: DeliveryOutcome = { kind: 'deferred', failure };

describe('intervals', () => {
  for (const [attempts, expected] of [
    [1, MINUTE],
    [2, 5 * MINUTE],
    [3, 2 * HOUR],
    [4, 2 * HOUR],
    [99, 2 * HOUR],
    [0, MINUTE],
  ] as const) {
    test(`after ${attempts} attempts: ${expected / MINUTE} minutes`, () =>
      assert.equal(retryInterval(schedule, attempts), expected));
  }
});

test('a TLS report is given up after a day, whatever the patience with mail', () => {
  const report = { origin: { kind: 'report' } } as const;
  assert.equal(scheduleFor(report, schedule).expireAfter, 24 * HOUR);
  assert.equal(scheduleFor(report, { ...schedule, expireAfter: HOUR }).expireAfter, HOUR);
  assert.equal(scheduleFor({ origin: { kind: 'notice' } }, schedule), schedule);
});

describe('states', () => {
  test('delivered', () =>
    assert.deepEqual(
      settleRecipient(
        claimed(1),
        { kind: 'delivered', reply: { code: 250, enhanced: null, text: '' }, relayedDsn: true },
        facts(0),
      ),
      { number: 3, becomes: 'delivered' },
    ));
  test('failed: bounced', () => {
    const permanent = { ...failure, permanent: true, enhanced: '5.1.1' } as const;
    assert.deepEqual(settleRecipient(claimed(1), { kind: 'failed', failure: permanent }, facts(0)), {
      number: 3,
      becomes: 'bounced',
      failure: permanent,
    });
  });
  test('deferred and young: queued', () =>
    assert.deepEqual(settleRecipient(claimed(1), deferred, facts(0)), {
      number: 3,
      becomes: 'queued',
      due: start + MINUTE,
      attention: start + 4 * HOUR,
      failure,
      delayNoticeSent: false,
    }));
  test('deferred past the delay notice: told once', () => {
    const told = settleRecipient(claimed(9), deferred, facts(4 * HOUR));
    assert.ok(told.becomes === 'queued' && told.delayNoticeSent);
    const again = settleRecipient(claimed(9, true), deferred, facts(5 * HOUR));
    assert.ok(again.becomes === 'queued' && again.delayNoticeSent);
  });
  test('deferred and old: expired, with the same number of class 5', () => {
    const settled = settleRecipient(claimed(60), deferred, facts(120 * HOUR));
    assert.ok(settled.becomes === 'expired');
    assert.equal(settled.failure.enhanced, '5.4.1');
    assert.equal(settled.failure.permanent, true);
  });
  test('deferred without an attempt: due with its destination, never after expiry', () => {
    const due = (downUntil: number, age: number) => {
      const settled = settleRecipient(claimed(3), deferred, { ...facts(age), downUntil: downUntil as Instant });
      assert.ok(settled.becomes === 'queued');
      return settled.due - start;
    };
    assert.equal(due(start + 6 * HOUR, 5 * HOUR), 6 * HOUR);
    assert.equal(due(start + 121 * HOUR, 119 * HOUR), 120 * HOUR);
  });
  test('no delay notice where the schedule has none', () => {
    const settled = settleRecipient(claimed(9), deferred, {
      ...facts(9 * HOUR),
      schedule: { ...schedule, delayNoticeAfter: null },
    });
    assert.ok(settled.becomes === 'queued' && !settled.delayNoticeSent);
  });
});

test('a retry comes within ten percent of its interval, never after expiry', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 0, max: 120 * HOUR - 1 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempts, age, chance) => {
        const settled = settleRecipient(claimed(attempts), deferred, facts(age, chance));
        assert.ok(settled.becomes === 'queued');
        const wait = settled.due - (start + age);
        const interval = retryInterval(schedule, attempts);
        assert.ok(settled.due <= start + schedule.expireAfter);
        assert.ok(wait <= interval * 1.1 + 1);
        assert.ok(wait >= interval * 0.9 - 1 || settled.due === start + schedule.expireAfter);
      },
    ),
  );
});

describe('attention: when it must be looked at though its destination is down', () => {
  const SECOND = 1000;
  const rows: readonly [name: string, age: number, told: boolean, change: Partial<RetrySchedule>, expected: number][] = [
    ['young', MINUTE, false, {}, 4 * HOUR],
    ['told', 4 * HOUR, true, {}, 120 * HOUR],
    ['told before its time', MINUTE, true, {}, 120 * HOUR],
    ['no notice in the schedule', MINUTE, false, { delayNoticeAfter: null }, 120 * HOUR],
    ['expires before the notice', MINUTE, false, { expireAfter: 2 * HOUR }, 2 * HOUR],
    ['about to expire', 120 * HOUR - 10, true, {}, 120 * HOUR - 10 + SECOND],
    ['past everything', 130 * HOUR, false, {}, 130 * HOUR + SECOND],
  ];
  for (const [name, age, told, change, expected] of rows) {
    test(name, () => {
      const given = { ...ageFacts(age), schedule: { ...schedule, ...change } };
      assert.equal(attentionAt(given, told) - start, expected);
    });
  }
  test('looked at, it is settled such that it need not be looked at again at once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 130 * HOUR }), fc.boolean(), (age, told) => {
        const settled = settleRecipient(claimed(2, told), deferred, facts(age));
        if (settled.becomes === 'queued') assert.ok(settled.attention >= start + age + SECOND);
        else assert.ok(settled.becomes === 'expired' && age >= schedule.expireAfter);
      }),
    );
  });
});

describe('a claim whose destination is down', () => {
  type Given = { readonly age: number; readonly told?: boolean; readonly attention?: boolean; readonly markedUp?: boolean };
  const rows: readonly [name: string, given: Given, decision: DownDecision][] = [
    ['young', { age: MINUTE }, 'release'],
    ['old enough for the delay notice', { age: 4 * HOUR }, 'settle'],
    ['old, and told', { age: 5 * HOUR, told: true }, 'release'],
    ['expired', { age: 120 * HOUR, told: true }, 'settle'],
    ['handed out for attention, young', { age: MINUTE, attention: true }, 'settle'],
    ['handed out for attention, told', { age: 5 * HOUR, told: true, attention: true }, 'settle'],
    ['marked up by someone else', { age: MINUTE, markedUp: true }, 'try'],
    ['marked up, and expired: a last attempt', { age: 120 * HOUR, markedUp: true }, 'try'],
    ['marked up, handed out for attention before', { age: MINUTE, attention: true, markedUp: true }, 'settle'],
  ];
  for (const [name, { age, told = false, attention = false, markedUp = false }, decision] of rows) {
    test(`${name} -> ${decision}`, () => {
      const recipients = [claimed(2, true), claimed(2, told)] as const;
      assert.equal(decideWhileDown({ attention, recipients }, { ...ageFacts(age), markedUp }), decision);
    });
  }
});
