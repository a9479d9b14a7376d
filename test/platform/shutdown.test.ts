import { strict as assert } from 'node:assert';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { openShutdown } from '../../src/platform/shutdown.ts';
import { testClock } from '../support/clock.ts';

function scene(deadline = 60_000) {
  const source = new EventEmitter();
  const forced: string[] = [];
  let reloads = 0;
  const ended = Promise.withResolvers<string>();
  const clock = testClock();
  const shutdown = openShutdown({
    source,
    clock,
    deadline,
    forceEnd: (reason) => {
      forced.push(reason);
      ended.resolve(reason);
    },
    onReload: () => {
      reloads += 1;
    },
  });
  return { source, clock, forced, shutdown, ended: ended.promise, reloads: () => reloads };
}

test('the first signal asks, the second ends, a third says nothing new', () => {
  const { source, clock, forced, shutdown } = scene();
  assert.equal(shutdown.signal.aborted, false);
  source.emit('SIGTERM');
  assert.equal(shutdown.signal.reason, 'SIGTERM');
  source.emit('SIGTERM');
  assert.deepEqual(forced, [], 'right behind the first it is the same wish');
  clock.advance(1000);
  source.emit('SIGINT');
  source.emit('SIGTERM');
  assert.deepEqual(forced, ['second-signal']);
  shutdown[Symbol.dispose]();
});

test('the deadline ends, counted from the first signal', async () => {
  const { source, ended, shutdown } = scene(1);
  const alive = setInterval(() => {}, 1000);
  source.emit('SIGINT');
  assert.equal(await ended, 'deadline');
  clearInterval(alive);
  shutdown[Symbol.dispose]();
});

test('a stop of our own is a stop', () => {
  const { shutdown } = scene();
  shutdown.stop('spool lost');
  shutdown.stop('again');
  assert.equal(shutdown.signal.reason, 'spool lost');
  shutdown[Symbol.dispose]();
});

test('SIGHUP reloads; nothing is heard after disposal', () => {
  const { source, shutdown, reloads } = scene();
  source.emit('SIGHUP');
  shutdown[Symbol.dispose]();
  source.emit('SIGHUP');
  source.emit('SIGTERM');
  assert.equal(reloads(), 1);
  assert.equal(shutdown.signal.aborted, false);
  assert.deepEqual(source.eventNames(), []);
});
