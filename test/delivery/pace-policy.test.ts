/** Pace: back-off, connections, rate. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Bucket, connectionsAllowed, downUntil, takeToken } from '../../src/delivery/pace-policy.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { ConnectorLimits } from '../../src/domain/connector.ts';

const limits: ConnectorLimits = {
  connections: 20,
  messagesPerConnection: 100,
  messagesPerMinute: null,
  recipientsPerMessage: 100,
};

describe('connections', () => {
  for (const [failures, threads, expected] of [
    [0, 1, 20],
    [0, 2, 10],
    [0, 30, 1],
    [1, 1, 1],
    [5, 2, 1],
  ] as const) {
    test(`${failures} failures, ${threads} threads -> ${expected}`, () =>
      assert.equal(connectionsAllowed(limits, { failures, threads }), expected));
  }
});

test('a dead destination is left alone as long as a message would wait', () => {
  const schedule = { intervals: [60_000, 300_000], delayNoticeAfter: null, expireAfter: 1e9 } as const;
  assert.deepEqual(
    [1, 2, 3].map((failures) => downUntil(schedule, failures, 0 as Instant)),
    [60_000, 300_000, 300_000],
  );
});

test('a rate limit lets through no more than it says, over any minute', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5000 }),
      fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 200 }),
      (perMinute, gaps) => {
        let bucket: Bucket = { tokens: 1, at: 0 };
        let now = 0;
        const passed: number[] = [];
        for (const gap of gaps) {
          now += gap;
          const step = takeToken(bucket, perMinute, now);
          bucket = step.bucket;
          if (step.wait === 0) passed.push(now);
          else assert.ok(step.wait > 0 && step.wait <= 60_000 / perMinute + 1);
        }
        const burst = Math.max(1, perMinute / 60);
        for (const end of passed)
          assert.ok(passed.filter((at) => at > end - 60_000 && at <= end).length <= perMinute + burst + 1);
      },
    ),
  );
});
