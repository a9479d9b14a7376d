/**
 * Is the relay doing its work? Decides what `/healthz` says.
 */
import type { Instant, Milliseconds } from '../domain/basics.ts';

/** How mail moves. */
export type FlowFacts = {
  readonly startedAt: Instant;
  /** When the last recipient was delivered; null: none since start. */
  readonly lastDelivery: Instant | null;
  /** Recipients that wait for delivery; held ones do not count. */
  readonly waiting: number;
  /** Arrival of the oldest message in the queue; null where it is empty. */
  readonly oldest: Instant | null;
};

/** True where mail has waited for at least `stuckAfter` and in all that time none was delivered. */
export function isStuck(flow: FlowFacts, now: Instant, stuckAfter: Milliseconds): boolean {
  if (flow.waiting === 0 || flow.oldest === null) return false;
  const since = Math.max(flow.startedAt, flow.oldest, flow.lastDelivery ?? 0);
  return now - since >= stuckAfter;
}
