/** The data of the spool thread's loop: who waits for what, and how the store is. */
import type { Result } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { ActionProgress } from './apply-action.ts';
import type { SpoolClient } from './outbox.ts';
import type { QueueState } from './queue-state.ts';
import type { ClaimRequest, SpoolHealth, SpoolProblem } from './spool.ts';
import type { SpoolEvent } from './spool-events.ts';
import type { ChangeOp, ReadOp, SpoolPost } from './spool-protocol.ts';
import type { Store } from './spool-store.ts';

/** What the loop is made of. */
export type GroupCommitParts = {
  readonly state: QueueState;
  /** Opens the store anew after a failure. */
  readonly reopen: () => Result<Store, SpoolProblem>;
  readonly onEvent: (event: SpoolEvent) => void;
};

/** A change someone waits for; an action under way knows how far it has come. */
export type Change = {
  readonly client: SpoolClient;
  readonly op: ChangeOp;
  readonly bodies: SpoolPost['bodies'];
  readonly progress?: ActionProgress;
};
/** A question someone waits for. */
export type Read = { readonly client: SpoolClient; readonly op: ReadOp };
/** A long poll. */
export type Parked = { readonly client: SpoolClient; readonly id: number; readonly request: ClaimRequest };

/** The whole loop. */
export type Loop = GroupCommitParts & {
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
  closed: boolean;
  timer: NodeJS.Timeout | null;
  written: { messages: number; bytes: number };
};

/** The health as clients are told it. */
export function healthOf(loop: Loop): SpoolHealth {
  return { writable: loop.failing === null, ...loop.disk, problem: loop.failing };
}

/** Tells every client. */
export function tellHealth(loop: Loop): void {
  const health = healthOf(loop);
  for (const client of loop.clients) client.post({ kind: 'health', health }, []);
}
