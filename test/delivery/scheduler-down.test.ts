/** Destinations that cannot be reached, and a spool that stores nothing: what is tried, what waits, what is settled all the same. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { checkLeaks } from '../support/leak-check.ts';
import { DEAD, HOUR, MINUTE, names, world } from './scheduler-world.ts';

checkLeaks();

const limits = { connections: 2, messagesPerConnection: 100, messagesPerMinute: null, recipientsPerMessage: 100 };
const few = { connector: { limits } };
const SMARTHOST = {
  kind: 'smarthost',
  hosts: [{ kind: 'address', address: '192.0.2.1', port: 25 }],
  balance: false,
  tls: 'starttls',
  auth: null,
} as const;

describe('a destination that cannot be reached', () => {
  test('many failures at once: marked down once, and what waits goes back untried', async (t) => {
    const { scheduler, mail, spool, started, end, clock } = world(t, few);
    scheduler.offer(names(5).map((name) => mail(name)));
    await end('unreachable');
    assert.deepEqual(spool.marks, [{ domain: 'one.test', until: clock.now() + MINUTE }]);
    assert.deepEqual(spool.released, ['m2', 'm3', 'm4']);
    assert.deepEqual(started, ['m0', 'm1']);
    assert.deepEqual(
      spool.settlements.map(({ recipients, untried }) => [recipients[0].becomes, untried]),
      [
        ['queued', false],
        ['queued', false],
      ],
    );
    assert.equal(scheduler.counts().held, 0);
  });

  test('after its time: probed with one connection; once it answers, all go', async (t) => {
    const { scheduler, mail, spool, started, end, pass } = world(t, few);
    scheduler.offer([mail('m')]);
    await end('unreachable');
    await pass(MINUTE);
    scheduler.offer(names(3).map((name) => mail(name)));
    assert.deepEqual(started, ['m', 'm0']);
    await end('delivered');
    assert.deepEqual(started, ['m', 'm0', 'm1', 'm2']);
    assert.deepEqual(spool.marks.at(-1), { domain: 'one.test', until: 0 });
  });

  test('still dead when probed: left alone for longer', async (t) => {
    const { scheduler, mail, spool, end, pass, clock } = world(t, few);
    scheduler.offer([mail('m0')]);
    await end('unreachable');
    await pass(MINUTE);
    scheduler.offer([mail('m1'), mail('m2')]);
    await end('unreachable');
    assert.deepEqual(spool.marks.at(-1), { domain: 'one.test', until: clock.now() + 5 * MINUTE });
    assert.deepEqual(spool.released, ['m2']);
  });

  test('a dead smarthost: new mail of other domains waits in the spool, which hears of each domain once', async (t) => {
    const { scheduler, mail, spool, started, end } = world(t, { connector: { route: SMARTHOST } });
    scheduler.offer([mail('m0', { domain: 'a.test' })]);
    await end('unreachable');
    scheduler.offer([mail('m1', { domain: 'b.test' }), mail('m2', { domain: 'b.test' }), mail('m3', { domain: 'c.test' })]);
    assert.deepEqual(
      spool.marks.map(({ domain }) => domain),
      ['a.test', 'b.test', 'c.test'],
    );
    assert.deepEqual(spool.released, ['m1', 'm2', 'm3']);
    assert.deepEqual(started, ['m0']);
  });

  test('handed out though the spool knows it is down: someone wants it tried, so one is', async (t) => {
    const { scheduler, mail, spool, started, end } = world(t, { connector: { route: SMARTHOST } });
    scheduler.start();
    scheduler.offer([mail('m0', { domain: 'a.test' })]);
    await end('unreachable');
    scheduler.offer([mail('m1', { domain: 'b.test' })]);
    await turn();
    scheduler.offer([mail('m2', { domain: 'a.test' }), mail('m3', { domain: 'a.test' })]);
    assert.deepEqual(started, ['m0', 'm2']);
    await end('delivered');
    assert.deepEqual(started, ['m0', 'm2', 'm3']);
    assert.deepEqual(
      spool.marks.slice(2),
      [
        { domain: 'a.test', until: 0 },
        { domain: 'b.test', until: 0 },
      ],
      'what the spool took for down is up',
    );
    await end('delivered');
    await scheduler.stop(AbortSignal.abort());
  });

  test('others do not notice', async (t) => {
    const { scheduler, mail, started, end, running } = world(t, few);
    scheduler.offer([mail('m0')]);
    await end('unreachable');
    scheduler.offer([mail('o0', { domain: 'other.test' }), mail('o1', { domain: 'other.test' })]);
    assert.deepEqual(started, ['m0', 'o0', 'o1']);
    assert.equal(running.length, 2);
  });

  test('one that had enough and was drained is asked for again', async (t) => {
    const { scheduler, mail, spool, end, hand } = world(t, few);
    scheduler.start();
    scheduler.offer(names(102).map((name) => mail(name)));
    await hand(mail('other', { domain: 'other.test' }));
    assert.deepEqual(spool.poll?.request.except, ['one.test']);
    await end('unreachable');
    assert.deepEqual(spool.poll?.request.except, []);
  });
});

describe('attention', () => {
  const downWorld = async (t: Parameters<typeof world>[0]): Promise<ReturnType<typeof world>> => {
    const made = world(t, few);
    made.scheduler.offer([made.mail('first')]);
    await made.end('unreachable');
    made.spool.settlements.length = 0;
    made.told.length = 0;
    return made;
  };

  test('settled without an attempt, with what the destination was marked down with', async (t) => {
    const { scheduler, mail, spool, started, told, clock } = await downWorld(t);
    scheduler.offer([mail('m', { age: 4 * HOUR, attention: true })]);
    await turn();
    const now = clock.now();
    assert.deepEqual(started, ['first']);
    assert.deepEqual(spool.released, []);
    const [settlement] = spool.settlements;
    assert.deepEqual(
      [settlement?.untried, settlement?.connector, settlement?.recipients],
      [
        true,
        'lab',
        [
          {
            number: 0,
            becomes: 'queued',
            due: now + MINUTE,
            attention: now + 116 * HOUR,
            failure: DEAD,
            delayNoticeSent: true,
          },
        ],
      ],
    );
    const [said] = told;
    assert.deepEqual([said?.report.path.mx, said?.report.path.ip, said?.report.startedAt], ['mx.test', '192.0.2.1', now]);
    assert.equal(said?.claim.recipients[0].attempts, 1, 'attempts really made');
    assert.equal(scheduler.counts().held, 0);
  });

  test('past expiry: expired', async (t) => {
    const { scheduler, mail, spool, told } = await downWorld(t);
    scheduler.offer([mail('m', { age: 120 * HOUR, told: true, attention: true })]);
    await turn();
    assert.equal(spool.settlements[0]?.recipients[0].becomes, 'expired');
    assert.equal(told.length, 1);
  });

  test('nothing to do yet: settled all the same, to be looked at later', async (t) => {
    const { scheduler, mail, spool, clock } = await downWorld(t);
    scheduler.offer([mail('m', { age: HOUR, attention: true })]);
    await turn();
    assert.deepEqual(spool.released, []);
    const fate = spool.settlements[0]?.recipients[0];
    assert.ok(fate?.becomes === 'queued' && fate.attention === clock.now() + 3 * HOUR && !fate.delayNoticeSent);
  });

  test('not for attention, but old: on the way back it gets what is due', async (t) => {
    const { scheduler, mail, spool, end } = world(t, few);
    scheduler.offer([mail('m0'), mail('m1'), mail('old', { age: 5 * HOUR }), mail('young'), mail('seen', { attention: true })]);
    await end('unreachable');
    assert.deepEqual(spool.released, ['young']);
    assert.deepEqual(
      spool.settlements.filter(({ untried }) => untried).map(({ queueId }) => queueId),
      ['old', 'seen'],
    );
  });

  test('a thread that knows nothing of the down makes an attempt; where that works, the destination is up', async (t) => {
    const { scheduler, mail, spool, started, end } = world(t);
    scheduler.offer([mail('m', { attention: true })]);
    assert.deepEqual(started, ['m']);
    await end('delivered');
    assert.deepEqual(spool.marks, [{ domain: 'one.test', until: 0 }]);
  });

  test('stop waits for it', async (t) => {
    const { scheduler, mail, spool, pass } = await downWorld(t);
    spool.problem = 'disk-full';
    scheduler.offer([mail('m', { attention: true })]);
    let stopped = false;
    void scheduler.stop(new AbortController().signal).then(() => {
      stopped = true;
    });
    await turn();
    assert.ok(!stopped);
    spool.problem = null;
    await pass(1000);
    assert.ok(stopped);
  });
});

describe('a spool that stores nothing', () => {
  test('the settlement is tried again until it holds, after pauses that grow; told once; the claim is held and renewed', async (t) => {
    const { scheduler, mail, spool, end, pass, faults, told } = world(t);
    scheduler.start();
    let tries = 0;
    const { settle } = spool.port;
    spool.port.settle = (settlement) => {
      tries += 1;
      return settle(settlement);
    };
    spool.problem = 'disk-full';
    scheduler.offer([mail('m')]);
    await end('delivered');
    const pauses = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
    for (const [at, pause] of pauses.entries()) {
      assert.equal(tries, at + 1);
      await pass(pause - 1);
      assert.equal(tries, at + 1);
      await pass(1);
    }
    await pass(5 * MINUTE);
    assert.ok(spool.renewed > 0);
    assert.equal(scheduler.counts().held, 1);
    assert.equal(faults.length, 1);
    assert.deepEqual(told, []);
    spool.problem = null;
    await pass(30_000);
    assert.equal(spool.settlements[0]?.recipients[0].becomes, 'delivered');
    assert.deepEqual([told.length, faults.length, scheduler.counts().held], [1, 1, 0]);
  });

  test('closed: given up', async (t) => {
    const { scheduler, mail, spool, end, faults, told } = world(t);
    spool.problem = 'closed';
    scheduler.offer([mail('m')]);
    await end('delivered');
    assert.deepEqual([told.length, faults.length, scheduler.counts().held], [0, 1, 0]);
  });

  test('stopping: tried until the deadline, then a last time', async (t) => {
    const { scheduler, mail, spool, end, pass, told } = world(t);
    spool.problem = 'read-only';
    scheduler.offer([mail('m')]);
    await end('delivered');
    const deadline = new AbortController();
    const stopping = scheduler.stop(deadline.signal);
    await pass(1000);
    assert.equal(scheduler.counts().held, 1);
    deadline.abort();
    await stopping;
    assert.deepEqual([told.length, scheduler.counts().held], [0, 0]);
  });

  test('stale: told, without notices', async (t) => {
    const { scheduler, mail, spool, end, told, faults } = world(t);
    spool.problem = 'stale';
    scheduler.offer([mail('m')]);
    await end('delivered');
    assert.deepEqual([told[0]?.notices, faults], [[], []]);
  });
});
