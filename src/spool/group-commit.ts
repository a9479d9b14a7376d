/**
 * The spool thread's loop: whatever has arrived while the last commit was under way goes into the next one, and everyone waiting
 * is answered when it is on disk. One fsync serves all. Questions are answered in between, one at a time.
 */
import { answerRead } from './answer-read.ts';
import { commitBatch } from './commit-batch.ts';
import { afterBreak, keepHouse, recover, refuse } from './commit-failure.ts';
import { type Change, type GroupCommitParts, healthOf, type Loop, tellHealth } from './commit-loop.ts';
import { createOutbox, type SpoolClient } from './outbox.ts';
import type { QueueState } from './queue-state.ts';
import type { SpoolPost } from './spool-protocol.ts';

/** Operations and octets of bodies in one transaction: bounds how long anyone waits for it. */
const OPS_PER_COMMIT = 1000;
const BYTES_PER_COMMIT = 16 * 1024 * 1024;

/** The loop, as the thread's entry drives it. */
export type GroupCommit = {
  join(client: SpoolClient): void;
  receive(client: SpoolClient, post: SpoolPost): void;
  /** The client is gone: what it held is due at once. */
  leave(client: SpoolClient): void;
  /** Once a second: looks after the disk, tries to recover, wakes who waits. */
  tick(disk: { readonly freeBytes: number; readonly low: boolean }): void;
  /** Does something in a transaction of its own, if storing works; it may come to nothing. */
  keepHouse(work: (state: QueueState) => void): void;
  /** Commits what has arrived and stops. The store stays open. */
  close(): void;
};

/** A loop over a state that has been read from its store. Does nothing until clients join. */
export function createGroupCommit(parts: GroupCommitParts): GroupCommit {
  const loop: Loop = {
    ...parts,
    clients: new Set(),
    changes: [],
    reads: [],
    parked: [],
    gone: [],
    failing: null,
    inDoubt: [],
    disk: { freeBytes: 0, low: true },
    scheduled: false,
    closed: false,
    timer: null,
    written: { ...parts.state.totals },
  };
  return {
    join(client) {
      loop.clients.add(client);
      client.post({ kind: 'health', health: healthOf(loop) }, []);
    },
    receive: (client, post) => receive(loop, client, post),
    leave(client) {
      loop.clients.delete(client);
      loop.parked = loop.parked.filter((parked) => parked.client !== client);
      loop.gone.push(client.id);
      schedule(loop);
    },
    tick(disk) {
      loop.disk = disk;
      if (loop.failing !== null) recover(loop);
      tellHealth(loop);
      schedule(loop);
    },
    keepHouse: (work) => keepHouse(loop, work),
    close() {
      while (loop.changes.length > 0) turn(loop);
      loop.closed = true;
      if (loop.timer !== null) clearTimeout(loop.timer);
    },
  };
}

function receive(loop: Loop, client: SpoolClient, post: SpoolPost): void {
  for (const op of post.ops) {
    switch (op.op) {
      case 'claim':
        loop.parked.push({ client, id: op.id, request: op.request });
        break;
      case 'cancel':
        cancel(loop, client, op);
        break;
      case 'list':
      case 'show':
      case 'body':
      case 'stats':
      case 'recall-hosts':
      case 'recall-policies':
        loop.reads.push({ client, op });
        break;
      default:
        loop.changes.push({ client, op, bodies: post.bodies });
    }
  }
  schedule(loop);
}

/** Ends a long poll with nothing; one that was already served is left to its client. */
function cancel(loop: Loop, client: SpoolClient, op: { readonly id: number; readonly poll: number }): void {
  const outbox = createOutbox();
  outbox.add(client, op.id, { kind: 'done' });
  const at = loop.parked.findIndex((parked) => parked.client === client && parked.id === op.poll);
  if (at >= 0) {
    loop.parked.splice(at, 1);
    outbox.add(client, op.poll, { kind: 'claims', claims: [] });
  }
  outbox.send();
}

function schedule(loop: Loop): void {
  if (loop.scheduled || loop.closed) return;
  loop.scheduled = true;
  setImmediate(() => turn(loop));
}

function turn(loop: Loop): void {
  loop.scheduled = false;
  const batch = takeBatch(loop);
  run(loop, batch);
  const read = loop.reads.shift();
  if (read !== undefined) {
    const outbox = createOutbox();
    outbox.add(read.client, read.op.id, answerRead(loop.state, read.op));
    outbox.send();
  }
  if (loop.changes.length > 0 || loop.reads.length > 0) schedule(loop);
  arm(loop);
}

/** Commits a batch; after a break, what is left to try. Each retry is smaller or leaves a destination out, so this ends. */
function run(loop: Loop, batch: readonly Change[]): void {
  const left: (readonly Change[])[] = [batch];
  for (let next = left.shift(); next !== undefined; next = left.shift()) {
    if (loop.failing !== null) refuse(loop, next, loop.failing);
    else if (next.length > 0 || somethingWaits(loop)) {
      const broken = commitBatch(loop, next);
      if (broken !== null) left.push(...afterBreak(loop, next, broken));
    }
  }
}

function takeBatch(loop: Loop): Change[] {
  let bytes = 0;
  let count = 0;
  for (const { op } of loop.changes) {
    if (count >= OPS_PER_COMMIT || bytes >= BYTES_PER_COMMIT) break;
    if (op.op === 'accept' && op.message.body.kind === 'bytes') bytes += op.message.body.length;
    count++;
  }
  if (count === loop.changes.length) {
    const all = loop.changes;
    loop.changes = [];
    return all;
  }
  return loop.changes.splice(0, count);
}

/** Leases to give back, or mail that is due and someone who waits for it. */
function somethingWaits(loop: Loop): boolean {
  const { leases, due, clock } = loop.state;
  if (loop.gone.length > 0 || (leases.earliest() ?? Number.POSITIVE_INFINITY) <= clock.monotonic()) return true;
  return loop.parked.length > 0 && (due.ready() > 0 || (due.wakes() ?? Number.POSITIVE_INFINITY) <= clock.now());
}

/** Sets the timer for the next lease's end or the next due mail; what is a second away and more waits for the tick. */
function arm(loop: Loop): void {
  const { leases, due, clock } = loop.state;
  const lease = (leases.earliest() ?? Number.POSITIVE_INFINITY) - clock.monotonic();
  const mail = loop.parked.length > 0 ? (due.wakes() ?? Number.POSITIVE_INFINITY) - clock.now() : Number.POSITIVE_INFINITY;
  const wait = Math.min(lease, mail);
  if (loop.timer !== null) clearTimeout(loop.timer);
  // While nothing can be written there is nothing to wake for: the tick looks after that.
  const soon = wait < 1000 && loop.failing === null && !loop.closed;
  loop.timer = soon ? setTimeout(() => schedule(loop), Math.max(wait, 1)) : null;
}
