import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Instant } from '../../src/domain/basics.ts';
import { parseQueueId, queueIdFrom } from '../../src/domain/queue-id.ts';

const chance = fc.uint8Array({ minLength: 10, maxLength: 10 });
const moment = fc.integer({ min: 0, max: 2 ** 48 - 1 }).map((n) => n as Instant);

test('ids have 26 characters, can be read back and sort by time', () => {
  fc.assert(
    fc.property(moment, moment, chance, chance, (a, b, x, y) => {
      const [first, second] = [queueIdFrom(a, x), queueIdFrom(b, y)];
      assert.equal(parseQueueId(first.toLowerCase()), first);
      if (a < b) assert.ok(first < second);
    }),
  );
});
test('different chance, different id', () => {
  fc.assert(
    fc.property(moment, chance, chance, (at, x, y) =>
      assert.equal(
        queueIdFrom(at, x) === queueIdFrom(at, y),
        x.every((v, i) => v === y[i]),
      ),
    ),
  );
});
test('what is no id', () => {
  for (const text of [
    '',
    'x',
    'Z'.repeat(26),
    '0'.repeat(25),
    '0'.repeat(27),
    `${'0'.repeat(25)}U`,
    '../../../../etc/passwd0000',
  ])
    assert.equal(parseQueueId(text), null);
});
