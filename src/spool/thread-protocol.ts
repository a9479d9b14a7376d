/** What the main thread and the spool thread say to each other, clients' ports apart. Types only. */
import type { MessagePort } from 'node:worker_threads';
import type { SpoolProblem } from './spool.ts';
import type { SpoolEvent, SpoolRecovery } from './spool-events.ts';

/** What the thread is started with. */
export type SpoolThreadOptions = {
  /** The queue file; body files lie in `bodies` beside it, the lock in `<path>.lock`. */
  readonly path: string;
  readonly bodies: string;
  /** Below so many free octets the spool is low (`limits.diskFree`). */
  readonly diskFreeBytes: number;
};

/** From the main thread. */
export type ThreadOrder =
  | { readonly kind: 'connect'; readonly port: MessagePort }
  | { readonly kind: 'disk-free'; readonly bytes: number }
  | { readonly kind: 'close' };

/** From the spool thread. */
export type ThreadNews =
  | { readonly kind: 'ready'; readonly recovery: SpoolRecovery }
  | { readonly kind: 'refused'; readonly problem: SpoolProblem }
  | { readonly kind: 'event'; readonly event: SpoolEvent };
