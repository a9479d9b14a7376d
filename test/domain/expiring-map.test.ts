import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { createExpiringMap } from '../../src/domain/expiring-map.ts';

test('an entry is there until its time, and not at it', () => {
  const map = createExpiringMap<string, number>(10);
  map.set('a', 1, { now: 0, lifetime: 100 });
  assert.equal(map.get('a', 99), 1);
  assert.equal(map.get('a', 100), undefined);
  assert.equal(map.get('b', 0), undefined);
});

test('no lifetime keeps nothing and forgets what was there', () => {
  const map = createExpiringMap<string, number>(10);
  map.set('a', 1, { now: 0, lifetime: 100 });
  map.set('a', 2, { now: 0, lifetime: 0 });
  assert.equal(map.get('a', 1), undefined);
});

test('the entry unread for the longest gives way', () => {
  const map = createExpiringMap<string, number>(2);
  map.set('a', 1, { now: 0, lifetime: 100 });
  map.set('b', 2, { now: 0, lifetime: 100 });
  assert.equal(map.get('a', 1), 1);
  map.set('c', 3, { now: 1, lifetime: 100 });
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => map.get(key, 2)),
    [1, undefined, 3],
  );
});
