/** Any sequence of what threads, operators, clocks and crashes can do: the queue says what a plain table of recipients says. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Instant } from '../../src/domain/basics.ts';
import type { Claim } from '../../src/domain/queue.ts';
import type { Spool, SpoolAdmin } from '../../src/spool/spool.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { dueNow } from './contract.ts';
import { type InProcessSpool, inProcessSpool } from './in-process.ts';
import { domain, failure, message, RECEIVED_AT, settlement } from './messages.ts';

checkLeaks();

type Row = {
  queueId: string;
  number: number;
  domain: string;
  state: 'queued' | 'leased' | 'held';
  attempts: number;
  due: number;
  /** Null only while it has never been queued. */
  attention: number | null;
  lease: Lease | null;
};
type Lease = { claim: Claim; until: number; live: boolean };
type World = {
  queue: InProcessSpool;
  spool: Spool & SpoolAdmin;
  rows: Row[];
  leases: Lease[];
  down: Map<string, number>;
  names: number;
};

const DOMAINS = ['one.test', 'two.test', 'three.test'];
const LEASE = 60_000;
const UNTRIED = RECEIVED_AT + 3_600_000;

const now = (world: World): number => world.queue.clock.now();
const rowsOf = (world: World, claim: Claim): Row[] =>
  claim.recipients.flatMap(
    (recipient) => world.rows.find((row) => row.queueId === claim.queueId && row.number === recipient.number) ?? [],
  );

function lease(world: World, claim: Claim): void {
  const entry: Lease = { claim, until: now(world) + LEASE, live: true };
  world.leases.push(entry);
  for (const row of rowsOf(world, claim)) Object.assign(row, { state: 'leased', lease: entry });
}

function giveBack(world: World, entry: Lease, attempts: number): void {
  entry.live = false;
  for (const row of world.rows) {
    if (row.lease === entry)
      Object.assign(row, {
        state: 'queued',
        due: now(world),
        attention: row.attention ?? UNTRIED,
        lease: null,
        attempts: row.attempts + attempts,
      });
  }
}

type Step = (world: World) => Promise<void>;
const isDown = (world: World, name: string): boolean => (world.down.get(name) ?? 0) > now(world);

const accept =
  (to: readonly number[], claimed: boolean): Step =>
  async (world) => {
    const name = `m${world.names++}`;
    const made = message(name, { to: to.map((index, at) => `u${at}@${DOMAINS[index]}`) });
    const result = await world.spool.accept(made, claimed ? { leaseFor: LEASE } : null);
    assert.ok(result.ok);
    for (const [number, { mailbox }] of made.recipients.entries()) {
      world.rows.push({
        queueId: made.envelope.queueId,
        number,
        domain: mailbox.domain,
        state: 'queued',
        attempts: 0,
        due: now(world),
        attention: null,
        lease: null,
      });
    }
    const expected = claimed
      ? [...new Set(made.recipients.map((r) => r.mailbox.domain))].filter((name) => !isDown(world, name))
      : [];
    assert.deepEqual(
      result.value.map((claim) => claim.domain),
      expected,
    );
    for (const claim of result.value) {
      for (const row of rowsOf(world, claim)) row.attempts = 1;
      lease(world, claim);
    }
    for (const row of world.rows) if (row.state === 'queued') row.attention ??= UNTRIED;
  };

const claim =
  (limit: number, perDestination: number): Step =>
  async (world) => {
    const moment = (row: Row): number => (isDown(world, row.domain) ? (row.attention ?? Number.NaN) : row.due);
    const due = world.rows.filter((row) => row.state === 'queued' && moment(row) <= now(world));
    const groups = new Map<string, Set<string>>();
    for (const row of due) groups.set(row.domain, (groups.get(row.domain) ?? new Set()).add(row.queueId));
    const available = [...groups.values()].reduce((sum, ids) => sum + Math.min(ids.size, perDestination), 0);
    const claims = await dueNow(world.spool, { limit, perDestination, leaseFor: LEASE });
    assert.equal(claims.length, Math.min(limit, available));
    for (const got of claims) {
      const meant = due.filter((row) => row.queueId === got.queueId && row.domain === got.domain);
      assert.deepEqual(
        got.recipients.map((r) => [r.number, r.attempts]),
        meant.map((row) => [row.number, row.attempts + 1]),
      );
      assert.equal(got.attention, isDown(world, got.domain));
      for (const row of meant) row.attempts++;
      lease(world, got);
    }
  };

type Deferral = { readonly due: number; readonly attention: number; readonly untried: boolean };

const settle =
  (pick: number, fate: 'delivered' | 'bounced' | Deferral): Step =>
  async (world) => {
    const entry = world.leases[pick % Math.max(world.leases.length, 1)];
    if (entry === undefined) return;
    const deferral = typeof fate === 'string' ? null : fate;
    const due = (now(world) + (deferral?.due ?? 0)) as Instant;
    const attention = (now(world) + (deferral?.attention ?? 0)) as Instant;
    const queued = { becomes: 'queued', due, attention, failure, delayNoticeSent: false } as const;
    const untried = deferral?.untried ?? false;
    const result = await world.spool.settle({
      ...settlement(entry.claim, typeof fate === 'string' ? fate : queued),
      untried,
    });
    assert.deepEqual(result, { ok: true, value: entry.live ? 'settled' : 'stale' });
    if (!entry.live) return;
    entry.live = false;
    if (deferral !== null)
      for (const row of rowsOf(world, entry.claim))
        Object.assign(row, { state: 'queued', due, attention, lease: null, attempts: row.attempts - (untried ? 1 : 0) });
    else world.rows = world.rows.filter((row) => row.lease !== entry);
  };

const release =
  (pick: number): Step =>
  async (world) => {
    const entry = world.leases[pick % Math.max(world.leases.length, 1)];
    if (entry === undefined) return;
    await world.spool.release([entry.claim]);
    if (entry.live) giveBack(world, entry, -1);
  };

const renew =
  (pick: number): Step =>
  async (world) => {
    const entry = world.leases[pick % Math.max(world.leases.length, 1)];
    if (entry === undefined) return;
    await world.spool.renew([entry.claim], LEASE);
    if (entry.live) entry.until = now(world) + LEASE;
  };

const pass =
  (by: number): Step =>
  async (world) => {
    world.queue.clock.advance(by);
    await world.queue.tick();
    for (const entry of world.leases) if (entry.live && entry.until <= now(world)) giveBack(world, entry, 0);
  };

const mark =
  (index: number, by: number): Step =>
  async (world) => {
    const name = DOMAINS[index] ?? '';
    await world.spool.markDestination({ domain: domain(name), until: (now(world) + by) as Instant });
    world.down.set(name, now(world) + by);
  };

const crash: Step = async (world) => {
  await world.queue.crash();
  world.spool = world.queue.connect();
  for (const entry of world.leases) if (entry.live) giveBack(world, entry, 0);
};

const act =
  (action: 'hold' | 'release' | 'retry' | 'remove', index: number): Step =>
  async (world) => {
    const name = DOMAINS[index] ?? '';
    const meant = world.rows.filter(
      (row) =>
        row.domain === name &&
        row.state !== 'leased' &&
        (action === 'remove' || (action === 'release') === (row.state === 'held')),
    );
    assert.deepEqual(await world.spool.act(action, { domain: domain(name) }), { ok: true, value: meant.length });
    if (action === 'retry' && meant.length > 0 && isDown(world, name)) world.down.set(name, 0);
    if (action === 'remove') world.rows = world.rows.filter((row) => !meant.includes(row));
    else if (action === 'hold') for (const row of meant) row.state = 'held';
    else for (const row of meant) Object.assign(row, { state: 'queued', due: now(world) });
  };

async function compare(world: World): Promise<void> {
  const { entries, total } = await world.spool.list({}, 1000);
  const said = entries.map((entry) => `${entry.queueId}/${entry.number} ${entry.state} ${entry.attempts}`);
  assert.deepEqual(
    said,
    world.rows.map((row) => `${row.queueId}/${row.number} ${row.state} ${row.attempts}`),
  );
  assert.equal(total, world.rows.length);
  for (const [at, entry] of entries.entries()) {
    const row = world.rows[at];
    if (row?.state !== 'queued') continue;
    // A down that is over may still be told, until the next start forgets it: past either way.
    if (isDown(world, row.domain)) assert.equal(entry.due, Math.max(row.due, world.down.get(row.domain) ?? 0));
    else assert.ok(entry.due === row.due || entry.due === world.down.get(row.domain));
  }
  const stats = await world.spool.stats();
  assert.equal(stats.messages, new Set(world.rows.map((row) => row.queueId)).size);
  assert.equal(stats.recipients.queued, world.rows.filter((row) => row.state === 'queued').length);
}

const index = fc.nat(2);
const pick = fc.nat(30);
const step: fc.Arbitrary<[string, Step]> = fc.oneof(
  fc
    .tuple(fc.array(index, { minLength: 1, maxLength: 4 }), fc.boolean())
    .map(([to, claimed]): [string, Step] => [`accept ${to} ${claimed}`, accept(to, claimed)]),
  fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }))
    .map(([a, b]): [string, Step] => [`claim ${a} ${b}`, claim(a, b)]),
  fc
    .tuple(
      pick,
      fc.oneof(
        fc.constantFrom('delivered' as const, 'bounced' as const),
        fc.record({
          due: fc.constantFrom(0, 5_000, 90_000),
          attention: fc.constantFrom(0, 5_000, 20_000, 90_000),
          untried: fc.boolean(),
        }),
      ),
    )
    .map(([p, fate]): [string, Step] => [`settle ${p} ${JSON.stringify(fate)}`, settle(p, fate)]),
  pick.map((p): [string, Step] => [`release ${p}`, release(p)]),
  pick.map((p): [string, Step] => [`renew ${p}`, renew(p)]),
  fc.constantFrom(1, 10_000, 60_000, 3_600_000).map((by): [string, Step] => [`pass ${by}`, pass(by)]),
  fc.tuple(index, fc.constantFrom(0, 30_000)).map(([i, by]): [string, Step] => [`mark ${i} ${by}`, mark(i, by)]),
  fc.constant<[string, Step]>(['crash', crash]),
  fc
    .tuple(fc.constantFrom('hold' as const, 'release' as const, 'retry' as const, 'remove' as const), index)
    .map(([a, i]): [string, Step] => [`${a} ${i}`, act(a, i)]),
);

/** A step that a counterexample prints by name. */
const named = ([name, run]: [string, Step]) => ({ run, toString: () => name, [fc.toStringMethod]: () => name });

test('any sequence of operations: the queue says what the model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step.map(named), { minLength: 5, maxLength: 40 }), async (steps) => {
      await using queue = await inProcessSpool();
      const world: World = { queue, spool: queue.connect(), rows: [], leases: [], down: new Map(), names: 0 };
      for (const { run } of steps) {
        await run(world);
        await compare(world);
      }
    }),
    { numRuns: 40 },
  );
});
