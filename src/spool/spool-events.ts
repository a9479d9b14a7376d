/** What the spool thread tells its operator, beside answers to its clients. Types only. */
import type { QueueId } from '../domain/envelope.ts';
import type { SpoolProblem } from './spool.ts';

/** One thing worth a log line. */
export type SpoolEvent =
  /** A stored body is missing or not what was stored: the message is held, `queue list --state held` shows why. */
  | { readonly kind: 'quarantined'; readonly queueId: QueueId; readonly detail: string }
  /** A destination's rows cannot be read: left alone for a while, the others go on. */
  | { readonly kind: 'unreadable'; readonly detail: string }
  /** Nothing can be stored. */
  | { readonly kind: 'failing'; readonly problem: SpoolProblem }
  /** Storing works again. */
  | { readonly kind: 'recovered' };

/** What the start found and put right. */
export type SpoolRecovery = {
  /** Recipients that were being tried when the last process died. */
  readonly leasesReturned: number;
  /** Body files no message refers to, removed. */
  readonly orphanBodies: number;
  readonly quarantined: readonly { readonly queueId: QueueId; readonly detail: string }[];
};
