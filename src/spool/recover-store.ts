/**
 * Takes up work again after a failed transaction: on a handle opened anew, because after a failed write or fsync the old one may
 * believe what is not on disk. What the failed commit may have stored all the same is undone before anything else happens.
 */
import type { Result } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import { undoAccept } from './apply-change.ts';
import { dropEffects, finishEffects, type QueueState, reload } from './queue-state.ts';
import type { SpoolProblem } from './spool.ts';
import type { Store } from './spool-store.ts';

/**
 * Reopens the store and makes sure it can be written. `inDoubt`: messages whose commit failed, so that their clients were told
 * to come again. Returns the problem that remains, null where the state is whole again.
 */
export function recoverStore(
  state: QueueState,
  reopen: () => Result<Store, SpoolProblem>,
  inDoubt: readonly QueueId[],
): SpoolProblem | null {
  dropEffects(state);
  state.store.close();
  const opened = reopen();
  if (!opened.ok) return opened.error;
  state.store = opened.value;
  try {
    state.store.begin();
    reload(state);
    for (const queueId of inDoubt) undoAccept(state, queueId);
    unleaseStrays(state);
    state.store.writeTotals(state.totals);
    state.store.commit();
    finishEffects(state);
    return null;
  } catch (error) {
    dropEffects(state);
    return state.store.faultOf(error).problem;
  }
}

/** Rows leased by a transaction whose claims were never handed out. */
function unleaseStrays(state: QueueState): void {
  const held = new Set<string>();
  for (const lease of state.leases.all()) for (const number of lease.numbers) held.add(`${lease.messageId} ${number}`);
  const now = state.clock.now();
  for (const row of state.store.leased()) {
    if (held.has(`${row.messageId} ${row.number}`)) continue;
    state.store.unlease(row, now, true);
    state.due.offer(row.domain, now, null);
  }
}
