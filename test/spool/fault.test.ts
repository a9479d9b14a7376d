/** A store that fails at the worst moments: nothing acknowledged is lost, nothing unacknowledged stays, work goes on without a restart. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Instant } from '../../src/domain/basics.ts';
import type { SpoolProblem } from '../../src/spool/spool.ts';
import type { Store } from '../../src/spool/spool-store.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { dueNow } from './contract.ts';
import { inProcessSpool } from './in-process.ts';
import { domain, failure, id, message, settlement } from './messages.ts';

checkLeaks();

const sqliteError = (errcode: number, text: string): Error =>
  Object.assign(new Error(text), { code: 'ERR_SQLITE_ERROR', errcode });
const IO_ERROR = sqliteError(1034, 'disk I/O error');
const FULL = sqliteError(13, 'database or disk is full');
const READ_ONLY = sqliteError(8, 'attempt to write a readonly database');

/** Errors by the name of the call they come from; taken out once thrown, unless sticky. */
type Plan = { error: Error | null; at: keyof Store; after: boolean };

/** A store whose `plan.at` throws `plan.error` once, before or after doing its work. */
const faulty =
  (plan: Plan) =>
  (store: Store): Store =>
    new Proxy(store, {
      get(target, name: keyof Store) {
        const real = target[name];
        if (name !== plan.at || typeof real !== 'function') return real;
        return (...args: unknown[]) => {
          const { error } = plan;
          if (error === null) return Reflect.apply(real, target, args);
          plan.error = null;
          if (plan.after) Reflect.apply(real, target, args);
          throw error;
        };
      },
    });

const kindOf = (result: { ok: true } | { ok: false; error: SpoolProblem }): string => (result.ok ? 'ok' : result.error.kind);

const FAULTS: readonly (readonly [what: string, error: Error, at: keyof Store, after: boolean, kind: string])[] = [
  ['disk full at an insert', FULL, 'insertMessage', false, 'disk-full'],
  ['I/O error at an insert', IO_ERROR, 'insertRecipient', true, 'broken'],
  ['read-only at begin', READ_ONLY, 'begin', false, 'read-only'],
  ['disk full at commit', FULL, 'commit', false, 'disk-full'],
  ['fsync fails at commit, nothing stored', IO_ERROR, 'commit', false, 'broken'],
  ['fsync fails at commit, all stored', IO_ERROR, 'commit', true, 'broken'],
];

for (const [what, error, at, after, kind] of FAULTS) {
  test(`${what}: everyone waiting is told, nothing of it stays, what was acknowledged before does`, async () => {
    const plan: Plan = { error: null, at, after };
    await using queue = await inProcessSpool({ store: faulty(plan) });
    const spool = queue.connect();
    await spool.accept(message('before'), { leaseFor: 1e6 });
    plan.error = error;
    const results = await Promise.all([
      spool.accept(message('a'), null),
      spool.accept(message('b'), { leaseFor: 1e6 }),
      spool.accept(message('c'), null),
    ]);
    assert.deepEqual(results.map(kindOf), [kind, kind, kind]);
    assert.equal(spool.health().writable, false);
    assert.equal(spool.health().problem?.kind, kind);
    assert.equal(kindOf(await spool.accept(message('d'), null)), kind);
    await queue.tick();
    assert.deepEqual(
      queue.events.map((event) => event.kind),
      ['failing', 'recovered'],
    );
    assert.equal(spool.health().writable, true);
    assert.deepEqual(
      (await spool.list({}, 10)).entries.map((entry) => entry.queueId),
      [id('before')],
    );
    // The client comes again, as 451 asks it to.
    assert.deepEqual((await Promise.all(['a', 'b', 'c'].map((name) => spool.accept(message(name), null)))).map(kindOf), [
      'ok',
      'ok',
      'ok',
    ]);
    assert.equal((await spool.stats()).messages, 4);
    assert.equal((await dueNow(spool)).length, 3);
  });

  test(`${what}: a settlement that failed is settled when tried again, its notice stored once`, async () => {
    const settleAt = at === 'insertMessage' || at === 'insertRecipient' ? 'deleteRecipient' : at;
    const plan: Plan = { error: null, at: settleAt, after };
    await using queue = await inProcessSpool({ store: faulty(plan) });
    const spool = queue.connect();
    const accepted = await spool.accept(message('m1', { to: ['a@one.test', 'b@two.test'] }), { leaseFor: 1e6 });
    assert.ok(accepted.ok && accepted.value[0] !== undefined && accepted.value[1] !== undefined);
    const bounce = { ...settlement(accepted.value[0], 'bounced'), notices: [message('notice')] };
    plan.error = error;
    assert.equal(kindOf(await spool.settle(bounce)), kind);
    await queue.tick();
    assert.deepEqual(await spool.settle(bounce), { ok: true, value: 'settled' });
    assert.deepEqual(
      (await dueNow(spool)).map((claim) => claim.queueId),
      [id('notice')],
    );
    const due = queue.clock.now() as Instant;
    const deferral = settlement(accepted.value[1], { becomes: 'queued', due, attention: due, failure, delayNoticeSent: false });
    assert.deepEqual(await spool.settle(deferral), { ok: true, value: 'settled' });
    assert.equal((await spool.stats()).messages, 2);
  });
}

test('a commit in doubt that leased something nobody was told of: due again, uncounted', async () => {
  const plan: Plan = { error: null, at: 'commit', after: true };
  await using queue = await inProcessSpool({ store: faulty(plan) });
  const spool = queue.connect();
  await spool.accept(message('m1'), null);
  plan.error = IO_ERROR;
  const waiting = spool.claim({ limit: 1, perDestination: 1, except: [], leaseFor: 1e6 }, new AbortController().signal);
  await spool.stats();
  await queue.tick();
  assert.deepEqual(
    (await waiting).map((claim) => [claim.queueId, claim.recipients[0].attempts]),
    [[id('m1'), 1]],
  );
});

test('storage that stays away: refused at once each time, tried again once a second, then as before', async () => {
  const plan: Plan = { error: null, at: 'commit', after: false };
  let away = false;
  let tries = 0;
  const reopen = (): SpoolProblem | null => {
    tries++;
    return away ? { kind: 'broken', detail: 'no such device' } : null;
  };
  await using queue = await inProcessSpool({ store: faulty(plan), reopen });
  const spool = queue.connect();
  await spool.accept(message('m1'), null);
  plan.error = FULL;
  away = true;
  for (let index = 0; index < 50; index++) assert.equal(kindOf(await spool.accept(message(`x${index}`), null)), 'disk-full');
  assert.equal(tries, 1);
  await queue.tick();
  await queue.tick();
  assert.equal(tries, 3);
  assert.equal(spool.health().problem?.kind, 'disk-full');
  away = false;
  await queue.tick();
  assert.equal(kindOf(await spool.accept(message('m2'), null)), 'ok');
  assert.equal((await spool.stats()).messages, 2);
});

test('one operation the store cannot digest: it alone fails', async () => {
  const poison = message('poison');
  const store = (real: Store): Store => ({
    ...real,
    insertMessage(row) {
      if (row.queueId === poison.envelope.queueId) throw sqliteError(11, 'database disk image is malformed');
      real.insertMessage(row);
    },
  });
  await using queue = await inProcessSpool({ store });
  const spool = queue.connect();
  const results = await Promise.all([message('a'), poison, message('b')].map((each) => spool.accept(each, null)));
  assert.deepEqual(results.map(kindOf), ['ok', 'broken', 'ok']);
  assert.equal(spool.health().writable, true);
  assert.equal((await spool.stats()).messages, 2);
});

test('destinations that cannot be read are left alone, however many, though down and overdue; the others go on', async () => {
  const bad = ['one.test', 'two.test', 'three.test'];
  const store = (real: Store): Store => ({
    ...real,
    firstOfTurn(turn) {
      if (bad.includes(turn.domain)) throw sqliteError(11, 'database disk image is malformed');
      return real.firstOfTurn(turn);
    },
  });
  await using queue = await inProcessSpool({ store });
  const spool = queue.connect();
  for (const name of [...bad, 'good.test']) await spool.accept(message(name, { to: [`user@${name}`] }), null);
  await spool.markDestination({ domain: domain('three.test'), until: (queue.clock.now() + 1e8) as Instant });
  queue.clock.advance(3_600_000);
  assert.deepEqual(
    (await dueNow(spool)).map((claim) => claim.queueId),
    [id('good.test')],
  );
  assert.deepEqual(
    queue.events.map((event) => event.kind),
    ['unreadable', 'unreadable', 'unreadable'],
  );
  bad.length = 0;
  assert.deepEqual(await dueNow(spool), []);
  queue.clock.advance(300_000);
  assert.equal((await dueNow(spool)).length, 3);
});

test('the wall clock jumps a day: no lease runs out by it', async () => {
  const { clock, connect, tick, [Symbol.asyncDispose]: end } = await inProcessSpool();
  const spool = connect();
  const accepted = await spool.accept(message('m1'), { leaseFor: 60_000 });
  assert.ok(accepted.ok && accepted.value[0] !== undefined);
  clock.jump(86_400_000);
  await tick();
  assert.deepEqual(await spool.settle(settlement(accepted.value[0], 'delivered')), { ok: true, value: 'settled' });
  await end();
});
