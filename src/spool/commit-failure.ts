/**
 * What follows a transaction that came to nothing: who is told what, what is tried again, and how work is taken up later.
 */
import { after, type Milliseconds } from '../domain/basics.ts';
import { renew } from './apply-change.ts';
import type { Broken } from './commit-batch.ts';
import { type Change, type Loop, tellHealth } from './commit-loop.ts';
import { createOutbox } from './outbox.ts';
import { dropEffects, finishEffects, type QueueState, reload } from './queue-state.ts';
import { recoverStore } from './recover-store.ts';
import type { SpoolProblem } from './spool.ts';
import type { Answer } from './spool-protocol.ts';

/** A destination whose rows cannot be read is left alone for so long. */
const UNREADABLE_PAUSE: Milliseconds = 300_000;

/**
 * Ends the broken transaction. One bad operation is found by trying each alone, an unreadable destination is left out; bad storage
 * fails everyone waiting. Returns what to try again, transaction by transaction.
 */
export function afterBreak(loop: Loop, batch: readonly Change[], broken: Broken): readonly (readonly Change[])[] {
  const { state } = loop;
  const { phase, fault } = broken;
  const { stumbledOver } = state.effects;
  dropEffects(state);
  if (clear(state) && fault.kind === 'operation') {
    if (stumbledOver !== null) {
      // The others go on. Nothing was promised for this one yet, so nothing is lost by looking again later.
      state.due.leaveAlone(stumbledOver, after(state.clock.now(), UNREADABLE_PAUSE));
      loop.onEvent({ kind: 'unreadable', detail: `${stumbledOver}: ${fault.problem.detail}` });
      return [batch];
    }
    if (phase === 'operation' && batch.length > 1) return batch.map((change) => [change]);
    if (phase === 'operation') {
      refuse(loop, batch, fault.problem);
      return [];
    }
  }
  if (phase === 'commit') {
    for (const { op } of batch) if (op.op === 'accept') loop.inDoubt.push(op.message.queueId);
  }
  fail(loop, batch, fault.problem);
  return [];
}

function fail(loop: Loop, batch: readonly Change[], problem: SpoolProblem): void {
  loop.failing = problem;
  loop.onEvent({ kind: 'failing', problem });
  // Health first: whoever hears its refusal already knows better than to ask again.
  tellHealth(loop);
  refuse(loop, batch, problem);
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

/** Answers changes with a problem. */
export function refuse(loop: Loop, batch: readonly Change[], problem: SpoolProblem): void {
  const outbox = createOutbox();
  for (const { client, op } of batch) {
    // A lease lives in memory: it can be prolonged while nothing can be written.
    const answer: Answer = op.op === 'renew' ? renew(loop.state, op.keys, op.leaseFor) : { kind: 'problem', problem };
    outbox.add(client, op.id, answer);
  }
  outbox.send();
}

/** Does something in a transaction of its own, if storing works. */
export function keepHouse(loop: Loop, work: (state: QueueState) => void): void {
  if (loop.failing !== null) return;
  const { state } = loop;
  try {
    state.store.begin();
    work(state);
    state.store.commit();
    finishEffects(state);
  } catch (error) {
    afterBreak(loop, [], { phase: 'around', fault: state.store.faultOf(error) });
  }
}

/** Tries to take up work again. */
export function recover(loop: Loop): void {
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
