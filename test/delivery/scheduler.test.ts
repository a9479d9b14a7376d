/** What goes when: shares of destinations, limits, budgets, what is asked of the spool, stopping. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { checkLeaks } from '../support/leak-check.ts';
import { names, world } from './scheduler-world.ts';

checkLeaks();

const limits = { connections: 20, messagesPerConnection: 100, messagesPerMinute: null, recipientsPerMessage: 100 };
const forever = (): AbortSignal => new AbortController().signal;

describe('shares', () => {
  test('a destination has its connections and no more; the next goes when one is free', async (t) => {
    const { scheduler, mail, started, end } = world(t, { connector: { limits: { ...limits, connections: 3 } } });
    scheduler.offer(names(5).map((name) => mail(name)));
    assert.deepEqual(started, ['m0', 'm1', 'm2']);
    await end('delivered', 1);
    assert.deepEqual(started, ['m0', 'm1', 'm2', 'm3']);
    assert.equal(scheduler.counts().active, 3);
  });

  test('threads share the limit, and each has one connection at least', (t) => {
    const { scheduler, mail, running } = world(t, { threads: 2, connector: { limits: { ...limits, connections: 4 } } });
    scheduler.offer(names(9).map((name) => mail(name)));
    assert.equal(running.length, 2);
  });

  test('a crowd for one destination keeps no other waiting', (t) => {
    const { scheduler, mail, started } = world(t, { connector: { limits: { ...limits, connections: 2 } } });
    scheduler.offer(names(50).map((name) => mail(name)));
    scheduler.offer([mail('other', { domain: 'other.test' })]);
    assert.deepEqual(started, ['m0', 'm1', 'other']);
  });

  test('a smarthost is one destination, whatever the domains', (t) => {
    const route = {
      kind: 'smarthost',
      hosts: [{ kind: 'address', address: '192.0.2.1', port: 25 }],
      balance: false,
      tls: 'starttls',
      auth: null,
    } as const;
    const { scheduler, mail, running } = world(t, { connector: { route, limits: { ...limits, connections: 2 } } });
    scheduler.offer(names(5).map((name) => mail(name, { domain: `${name}.test` })));
    assert.equal(running.length, 2);
  });

  test('so many per minute: the rest follows in its time', async (t) => {
    const { scheduler, mail, started, end, pass } = world(t, { connector: { limits: { ...limits, messagesPerMinute: 60 } } });
    scheduler.offer(names(3).map((name) => mail(name)));
    assert.deepEqual(started, ['m0']);
    await pass(999);
    assert.deepEqual(started, ['m0']);
    await pass(1);
    assert.deepEqual(started, ['m0', 'm1']);
    await end('delivered');
    await pass(1000);
    assert.deepEqual(started, ['m0', 'm1', 'm2']);
  });

  test('all lines busy: whoever waited first gets the next one, though a destination with a line has more', async (t) => {
    const { scheduler, mail, started, end } = world(t, { connector: { limits: { ...limits, connections: 1 } } });
    scheduler.offer([mail('a0', { domain: 'a.test' }), mail('a1', { domain: 'a.test' })]);
    scheduler.offer(names(5000).map((name) => mail(name, { domain: `${name}.test` })));
    assert.equal(started.length, 5000);
    await end('delivered', 1);
    assert.equal(started.at(-1), 'm4999');
    await end('delivered', 1);
    assert.equal(started.at(-1), 'a1');
  });
});

describe('budgets', () => {
  test('messages are claimed at birth while there is memory for them', async (t) => {
    const { scheduler, mail, end } = world(t);
    const large = 60 * 1024 * 1024;
    assert.ok(scheduler.mayClaim(large));
    scheduler.offer([mail('m0', { bytes: large })]);
    assert.ok(!scheduler.mayClaim(large));
    assert.ok(scheduler.mayClaim(1000));
    await end('delivered');
    assert.ok(scheduler.mayClaim(large));
    assert.equal(scheduler.counts().held, 0);
  });

  test('and while there are not too many', (t) => {
    const { scheduler, mail } = world(t);
    scheduler.offer(names(4000).map((name) => mail(name, { domain: `${name}.test` })));
    assert.ok(!scheduler.mayClaim(1));
  });

  test('what one destination cannot use goes back', (t) => {
    const { scheduler, mail, spool } = world(t, { connector: { limits: { ...limits, connections: 1 } } });
    scheduler.offer(names(2002).map((name) => mail(name)));
    assert.deepEqual(spool.released, ['m2001']);
  });
});

describe('what is asked of the spool', () => {
  test('a page, and a few of each destination; again as soon as it came', async (t) => {
    const { scheduler, mail, spool, hand, started } = world(t);
    scheduler.start();
    assert.deepEqual([spool.poll?.request.limit, spool.poll?.request.perDestination, spool.poll?.request.except], [100, 20, []]);
    await hand(mail('m0'));
    assert.deepEqual(started, ['m0']);
    assert.ok(spool.poll !== null);
  });

  test('nothing of a destination that has enough, until it runs low', async (t) => {
    const { scheduler, mail, spool, hand, end } = world(t, { connector: { limits: { ...limits, connections: 1 } } });
    scheduler.start();
    scheduler.offer(names(101).map((name) => mail(name)));
    await hand(mail('other', { domain: 'other.test' }));
    assert.deepEqual(spool.poll?.request.except, ['one.test']);
    for (let ended = 0; ended < 60; ended += 1) await end('delivered');
    assert.deepEqual(spool.poll?.request.except, []);
  });

  test('nothing while as much is held as may be; again when a page has gone, however many at once', async (t) => {
    const { scheduler, mail, spool, hand, end } = world(t);
    scheduler.start();
    scheduler.offer(names(4000).map((name) => mail(name, { domain: `${name}.test` })));
    await hand(mail('last', { domain: 'last.test' }));
    assert.equal(spool.asksFor(), null);
    await end('delivered', 100);
    assert.equal(spool.asksFor(), null);
    await end('delivered', 150);
    assert.equal(spool.asksFor(), 100);
  });

  test('a spool that answers at once with nothing is left in peace for a second', async (t) => {
    const { scheduler, spool, hand, pass } = world(t);
    scheduler.start();
    await hand();
    assert.equal(spool.poll, null);
    await pass(1000);
    assert.ok(spool.poll !== null);
  });

  test('what is held is renewed in time', async (t) => {
    const { scheduler, mail, spool, pass } = world(t);
    scheduler.start();
    scheduler.offer([mail('m0'), mail('m1')]);
    await pass(5 * 60_000);
    assert.equal(spool.renewed, 2);
  });
});

describe('stop', () => {
  test('what waits goes back; what is under way is waited for; nothing new is taken', async (t) => {
    const { scheduler, mail, spool, end, told } = world(t, { connector: { limits: { ...limits, connections: 1 } } });
    scheduler.start();
    scheduler.offer(names(3).map((name) => mail(name)));
    let stopped = false;
    const stopping = scheduler.stop(forever()).then(() => {
      stopped = true;
    });
    await turn();
    assert.deepEqual(spool.released, ['m1', 'm2']);
    assert.ok(!scheduler.mayClaim(1));
    scheduler.offer([mail('late')]);
    assert.deepEqual(spool.released, ['m1', 'm2', 'late']);
    assert.equal(spool.poll, null);
    assert.ok(!stopped);
    await end('delivered');
    await stopping;
    assert.deepEqual(
      told.map(({ claim }) => claim.queueId),
      ['m0'],
    );
    assert.deepEqual(scheduler.counts(), { held: 0, active: 0, destinations: 0 });
  });

  test('an idle one stops at once', async (t) => {
    const { scheduler } = world(t);
    scheduler.start();
    await scheduler.stop(forever());
  });
});
