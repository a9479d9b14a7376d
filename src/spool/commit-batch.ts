/**
 * One transaction: what has arrived, the leases that ran out, the long polls that can be served. Answers and effects leave only
 * after the commit; of a transaction that breaks nothing leaves at all.
 */
import type { ActionProgress } from './apply-action.ts';
import { applyAction, startAction } from './apply-action.ts';
import { accept, changeHostMemory, keepPolicy, markDestination, release, renew, settle } from './apply-change.ts';
import type { Change, Loop, Parked } from './commit-loop.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { finishEffects, giveBack, type QueueState } from './queue-state.ts';
import { claimDue, claimMatching, expireLeases } from './serve-claims.ts';
import type { Answer } from './spool-protocol.ts';
import type { StoreFault } from './spool-store.ts';

type Attempt = { readonly outbox: Outbox; readonly served: Set<Parked>; readonly unfinished: Change[] };

/** Where a transaction broke: in one operation, around them, or in COMMIT itself, whose outcome is then in doubt. */
type Phase = 'around' | 'operation' | 'commit';

/** How a transaction broke. */
export type Broken = { readonly phase: Phase; readonly fault: StoreFault };

/** Carries out and commits everything, or says what broke; then nothing has been answered, and the transaction is still to be ended. */
export function commitBatch(loop: Loop, batch: readonly Change[]): Broken | null {
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
    return { phase, fault: state.store.faultOf(error) };
  }
  loop.gone = [];
  loop.written = { ...state.totals };
  if (attempt.served.size > 0) loop.parked = loop.parked.filter((parked) => !attempt.served.has(parked));
  loop.changes.unshift(...attempt.unfinished);
  const effects = finishEffects(state);
  attempt.outbox.send();
  for (const change of effects.hostChanges) for (const client of loop.clients) client.post({ kind: 'host-memory', change }, []);
  for (const policy of effects.policies) for (const client of loop.clients) client.post({ kind: 'policy', policy }, []);
  for (const event of effects.events) loop.onEvent(event);
  return null;
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
    case 'keep-policy':
      return keepPolicy(state, op.policy);
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
