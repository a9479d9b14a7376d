/**
 * The spool thread's loop: whatever has arrived while the last commit was under way goes into the next one, and everyone waiting
 * is answered when it is on disk. One fsync serves all. Questions are answered in between, one at a time.
 */
import type { Result } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import { answerRead } from './answer-read.ts';
import { type ActionProgress, applyAction, startAction } from './apply-action.ts';
import { accept, changeHostMemory, markDestination, release, renew, settle } from './apply-change.ts';
import { createOutbox, type Outbox, type SpoolClient } from './outbox.ts';
import { dropEffects, finishEffects, giveBack, type QueueState, reload } from './queue-state.ts';
import { recoverStore } from './recover-store.ts';
import { claimDue, claimMatching, expireLeases } from './serve-claims.ts';
import type { ClaimRequest, SpoolHealth, SpoolProblem } from './spool.ts';
import type { SpoolEvent } from './spool-events.ts';
import type { Answer, ChangeOp, ReadOp, SpoolPost } from './spool-protocol.ts';
import type { Store, StoreFault } from './spool-store.ts';

/** Operations and octets of bodies in one transaction: bounds how long anyone waits for it. */
const OPS_PER_COMMIT = 1000;
const BYTES_PER_COMMIT = 16 * 1024 * 1024;

/** What the loop is made of. */
export type GroupCommitParts = {
  readonly state: QueueState;
  /** Opens the store anew after a failure. */
  readonly reopen: () => Result<Store, SpoolProblem>;
  readonly onEvent: (event: SpoolEvent) => void;
};

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

type Change = {
  readonly client: SpoolClient;
  readonly op: ChangeOp;
  readonly bodies: SpoolPost['bodies'];
  readonly progress?: ActionProgress;
};
type Read = { readonly client: SpoolClient; readonly op: ReadOp };
type Parked = { readonly client: SpoolClient; readonly id: number; readonly request: ClaimRequest };

type Loop = GroupCommitParts & {
  readonly clients: Set<SpoolClient>;
  changes: Change[];
  reads: Read[];
  parked: Parked[];
  /** Clients that are gone and whose leases are still to be given back. */
  gone: number[];
  failing: SpoolProblem | null;
  inDoubt: QueueId[];
  disk: { readonly freeBytes: number; readonly low: boolean };
  scheduled: boolean;
  timer: NodeJS.Timeout | null;
  written: { messages: number; bytes: number };
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
      if (loop.timer !== null) clearTimeout(loop.timer);
    },
  };
}

function healthOf(loop: Loop): SpoolHealth {
  return { writable: loop.failing === null, ...loop.disk, problem: loop.failing };
}

function tellHealth(loop: Loop): void {
  const health = healthOf(loop);
  for (const client of loop.clients) client.post({ kind: 'health', health }, []);
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
  if (loop.scheduled) return;
  loop.scheduled = true;
  setImmediate(() => turn(loop));
}

function turn(loop: Loop): void {
  loop.scheduled = false;
  const batch = takeBatch(loop);
  if (loop.failing !== null) refuse(loop, batch, loop.failing);
  else if (batch.length > 0 || somethingWaits(loop)) commitBatch(loop, batch);
  const read = loop.reads.shift();
  if (read !== undefined) {
    const outbox = createOutbox();
    outbox.add(read.client, read.op.id, answerRead(loop.state, read.op));
    outbox.send();
  }
  if (loop.changes.length > 0 || loop.reads.length > 0) schedule(loop);
  arm(loop);
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
  loop.timer = wait < 1000 ? setTimeout(() => schedule(loop), Math.max(wait, 1)) : null;
}

type Attempt = { readonly outbox: Outbox; readonly served: Set<Parked>; readonly unfinished: Change[] };

/** Where a transaction broke: in one operation, around them, or in COMMIT itself, whose outcome is then in doubt. */
type Phase = 'around' | 'operation' | 'commit';

function commitBatch(loop: Loop, batch: readonly Change[]): void {
  const { state } = loop;
  const attempt: Attempt = { outbox: createOutbox(), served: new Set(), unfinished: [] };
  let phase: Phase = 'around';
  try {
    state.store.begin();
    returnLeases(loop);
    phase = 'operation';
    for (const change of batch) applyInto(loop, change, attempt);
    phase = 'around';
    serveParked(loop, attempt);
    writeTotals(loop);
    phase = 'commit';
    state.store.commit();
  } catch (error) {
    broke(loop, batch, { phase, fault: state.store.faultOf(error) });
    return;
  }
  loop.gone = [];
  loop.written = { ...state.totals };
  if (attempt.served.size > 0) loop.parked = loop.parked.filter((parked) => !attempt.served.has(parked));
  loop.changes.unshift(...attempt.unfinished);
  const effects = finishEffects(state);
  attempt.outbox.send();
  for (const change of effects.hostChanges) for (const client of loop.clients) client.post({ kind: 'host-memory', change }, []);
  for (const event of effects.events) loop.onEvent(event);
}

function returnLeases(loop: Loop): void {
  for (const client of loop.gone) for (const lease of loop.state.leases.of(client)) giveBack(loop.state, lease, false);
  expireLeases(loop.state);
}

function writeTotals(loop: Loop): void {
  const { totals, store } = loop.state;
  if (totals.messages !== loop.written.messages || totals.bytes !== loop.written.bytes) store.writeTotals(totals);
}

function applyInto(loop: Loop, change: Change, attempt: Attempt): void {
  let answer: Answer | ActionProgress;
  try {
    answer = applyChange(loop.state, change);
  } catch (error) {
    const fault = loop.state.store.faultOf(error);
    if (fault.kind !== 'conflict') throw error;
    answer = { kind: 'problem', problem: fault.problem };
  }
  if ('kind' in answer) attempt.outbox.add(change.client, change.op.id, answer);
  else attempt.unfinished.push({ ...change, progress: answer });
}

/** The answer; or how far an action has come that goes on in the next transaction. */
function applyChange(state: QueueState, change: Change): Answer | ActionProgress {
  const { op, bodies } = change;
  const caller = { client: change.client.id, bodies };
  switch (op.op) {
    case 'accept':
      return accept(state, op, caller);
    case 'settle':
      return settle(state, op, caller);
    case 'release':
      return release(state, op.keys);
    case 'renew':
      return renew(state, op.keys, op.leaseFor);
    case 'mark-destination':
      return markDestination(state, op.down.domain, op.down.until);
    case 'host-memory':
      return changeHostMemory(state, op);
    case 'claim-matching': {
      const claimant = { client: caller.client, leaseFor: op.leaseFor };
      return { kind: 'claims', claims: claimMatching(state, op.filter, { claimant, limit: op.limit }) };
    }
    case 'act': {
      const { progress, finished } = applyAction(state, change.progress ?? startAction(op.action, op.filter));
      return finished ? { kind: 'changed', count: progress.changed } : progress;
    }
  }
}

function serveParked(loop: Loop, attempt: Attempt): void {
  for (const parked of loop.parked) {
    const claims = claimDue(loop.state, parked.request, parked.client.id);
    if (claims.length === 0) continue;
    attempt.served.add(parked);
    attempt.outbox.add(parked.client, parked.id, { kind: 'claims', claims });
  }
}

/** A transaction came to nothing. One bad operation is found by trying each alone; bad storage fails everyone waiting. */
function broke(loop: Loop, batch: readonly Change[], how: { readonly phase: Phase; readonly fault: StoreFault }): void {
  const { state } = loop;
  const { phase, fault } = how;
  dropEffects(state);
  const cleared = clear(state);
  if (cleared && phase === 'operation' && fault.kind === 'operation') {
    if (batch.length === 1) refuse(loop, batch, fault.problem);
    else for (const change of batch) loop.failing === null ? commitBatch(loop, [change]) : refuse(loop, [change], loop.failing);
    return;
  }
  if (phase === 'commit') {
    for (const { op } of batch) if (op.op === 'accept') loop.inDoubt.push(op.message.queueId);
  }
  loop.failing = fault.problem;
  loop.onEvent({ kind: 'failing', problem: fault.problem });
  refuse(loop, batch, fault.problem);
  tellHealth(loop);
}

/** Rolls back and reads the memory again. False where even that fails: recovery will do it on a new handle. */
function clear(state: QueueState): boolean {
  try {
    state.store.rollback();
    reload(state);
    return true;
  } catch {
    return false;
  }
}

function refuse(loop: Loop, batch: readonly Change[], problem: SpoolProblem): void {
  const outbox = createOutbox();
  for (const { client, op } of batch) {
    // A lease lives in memory: it can be prolonged while nothing can be written.
    const answer: Answer = op.op === 'renew' ? renew(loop.state, op.keys, op.leaseFor) : { kind: 'problem', problem };
    outbox.add(client, op.id, answer);
  }
  outbox.send();
}

function keepHouse(loop: Loop, work: (state: QueueState) => void): void {
  if (loop.failing !== null) return;
  const { state } = loop;
  try {
    state.store.begin();
    work(state);
    state.store.commit();
    finishEffects(state);
  } catch (error) {
    broke(loop, [], { phase: 'around', fault: state.store.faultOf(error) });
  }
}

function recover(loop: Loop): void {
  const remaining = recoverStore(loop.state, loop.reopen, loop.inDoubt);
  if (remaining !== null) {
    // Reopening a queue on a full disk fails in many ways; the first cause says more than "broken".
    if (remaining.kind !== 'broken') loop.failing = remaining;
    return;
  }
  loop.failing = null;
  loop.inDoubt = [];
  loop.written = { ...loop.state.totals };
  loop.onEvent({ kind: 'recovered' });
}
