/**
 * Carries out an operator's action a slice at a time, so that an action on a million recipients never holds up accepts.
 * Leased recipients are never touched. Progress is kept by key, in queue order.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { QueueAction, QueueFilter } from '../domain/queue.ts';
import { type QueueState, removeIfDone } from './queue-state.ts';
import type { MatchedRecipient, RecipientKey } from './spool-store.ts';

/** Recipients changed by one transaction. */
const SLICE = 500;

/** An action under way: where it stands and how many recipients it has changed. */
export type ActionProgress = {
  readonly action: Exclude<QueueAction, 'bounce'>;
  readonly filter: QueueFilter;
  readonly after: RecipientKey;
  readonly changed: number;
};

/** The beginning of an action. */
export const startAction = (action: ActionProgress['action'], filter: QueueFilter): ActionProgress => ({
  action,
  filter,
  after: { messageId: 0, number: -1 },
  changed: 0,
});

/** Which recipients an action means, by whether they are held. */
const MEANS: Readonly<Record<ActionProgress['action'], (held: boolean) => boolean>> = {
  retry: (held) => !held,
  hold: (held) => !held,
  release: (held) => held,
  remove: () => true,
};

/** Carries out one slice; `finished` where nothing is left to do. */
export function applyAction(state: QueueState, progress: ActionProgress): { progress: ActionProgress; finished: boolean } {
  const rows = state.store.matching(progress.filter, progress.after, SLICE);
  const meant = rows.filter((row) => MEANS[progress.action](row.held));
  const now = state.clock.now();
  for (const row of meant) change(state, progress.action, { row, now });
  refreshDue(state, progress.action, new Set(meant.map((row) => row.domain)));
  const last = rows.at(-1);
  const after = last === undefined ? progress.after : { messageId: last.messageId, number: last.number };
  return { progress: { ...progress, after, changed: progress.changed + meant.length }, finished: rows.length < SLICE };
}

function change(state: QueueState, action: ActionProgress['action'], to: { row: MatchedRecipient; now: Instant }): void {
  const { row, now } = to;
  switch (action) {
    case 'retry':
    case 'release':
      state.store.makeDue(row, now);
      break;
    case 'hold':
      state.store.hold(row);
      break;
    case 'remove':
      state.store.deleteRecipient(row);
      removeIfDone(state, row.messageId);
      break;
  }
}

/** What is due has changed for these destinations; `retry` also means: now, though the destination was marked down. */
function refreshDue(state: QueueState, action: ActionProgress['action'], domains: ReadonlySet<Domain>): void {
  for (const domain of domains) {
    if (action === 'retry' && state.due.downUntil(domain, state.clock.now()) !== null) {
      state.store.markDestination(domain, 0 as Instant);
      state.due.setDown(domain, 0 as Instant);
    }
    state.due.reset(domain, state.store.nextDue(domain));
    state.due.resetAttention(domain, state.store.nextAttention(domain));
  }
}
