/**
 * Counts by address, across threads.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { createPeerLimits, createPeerTable } from '../../src/inbound/peer-limits.ts';
import { testClock } from '../support/clock.ts';
import { LIMITS } from './support.ts';

const two = (clock = testClock()) => {
  const memory = createPeerTable(2);
  return [0, 1].map((thread) => createPeerLimits({ memory, thread, seed: 42 }, clock));
};
const outcome = (admission: { readonly kind: string; readonly by?: string } | undefined): string =>
  admission?.by ?? admission?.kind ?? '';

test('connections of one address add up over the threads, and are given back once', () => {
  const [a, b] = two();
  const limits = { ...LIMITS, connectionsPerAddress: 2 };
  const first = a?.admit('192.0.2.1', limits);
  b?.admit('192.0.2.1', limits);
  assert.equal(outcome(a?.admit('192.0.2.1', limits)), 'address');
  assert.equal(outcome(b?.admit('192.0.2.2', limits)), 'admitted');
  if (first?.kind === 'admitted') {
    first.release();
    first.release();
  }
  assert.equal(outcome(b?.admit('192.0.2.1', limits)), 'admitted');
  assert.equal(outcome(a?.admit('192.0.2.1', limits)), 'address');
});

test('the total counts everyone', () => {
  const [a, b] = two();
  const limits = { ...LIMITS, connections: 2 };
  a?.admit('192.0.2.1', limits);
  b?.admit('192.0.2.2', limits);
  assert.equal(outcome(a?.admit('192.0.2.3', limits)), 'total');
});

test('IPv6 counts by /64, however it is written', () => {
  const limits = { ...LIMITS, connectionsPerAddress: 1 };
  for (const [one, other, want] of [
    ['2001:db8::1', '2001:db8::2', 'address'],
    ['2001:db8:0:0:1::', '2001:db8::ffff:0:0:9', 'address'],
    ['2001:db8:0:1::1', '2001:db8:0:2::1', 'admitted'],
    ['::1', '::2', 'address'],
  ] as const) {
    const [a] = two();
    a?.admit(one, limits);
    assert.equal(outcome(a?.admit(other, limits)), want, `${one} ${other}`);
  }
});

test('a thread that comes back starts its row anew and leaves the others alone', () => {
  const memory = createPeerTable(2);
  const make = (thread: number) => createPeerLimits({ memory, thread, seed: 42 }, testClock());
  const limits = { ...LIMITS, connectionsPerAddress: 2 };
  make(0).admit('192.0.2.1', limits);
  const other = make(1);
  other.admit('192.0.2.1', limits);
  assert.equal(outcome(other.admit('192.0.2.1', limits)), 'address');
  make(0);
  assert.equal(outcome(other.admit('192.0.2.1', limits)), 'admitted');
});

test('messages a minute add up over the threads, and a new minute is a new count', () => {
  const clock = testClock();
  const [a, b] = two(clock);
  const limits = { ...LIMITS, messagesPerMinutePerAddress: 2 };
  assert.deepEqual(
    [a, b, a].map((thread) => thread?.mayStartMessage('192.0.2.1', limits)),
    [true, true, false],
  );
  assert.equal(b?.mayStartMessage('192.0.2.2', limits), true);
  clock.advance(60_000);
  assert.deepEqual(
    [b, a, b].map((thread) => thread?.mayStartMessage('192.0.2.1', limits)),
    [true, true, false],
  );
});
