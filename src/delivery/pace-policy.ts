/**
 * How fast a destination is approached: how long a dead one is left alone, how many connections a recovering one gets,
 * what a rate limit allows. Numbers in, numbers out.
 */
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';
import type { ConnectorLimits, RetrySchedule } from '../domain/connector.ts';
import type { OpenFailure } from '../transport/session.ts';
import { retryInterval } from './retry-policy.ts';

/** How long an address that failed to connect is tried after its peers. */
export const AVOID_ADDRESS_FOR: Milliseconds = 60_000;

/** When a destination that could not be reached is tried again: as a message would be after that many attempts. */
export const downUntil = (schedule: RetrySchedule, failures: number, now: Instant): Instant =>
  after(now, retryInterval(schedule, failures));

/** Connections a destination may have now: one while it has not answered since it failed, else this thread's share of the limit. */
export const connectionsAllowed = (
  limits: ConnectorLimits,
  destination: { readonly failures: number; readonly threads: number },
): number => (destination.failures > 0 ? 1 : Math.max(1, Math.floor(limits.connections / destination.threads)));

/** True for failures that say the address is out of order for anyone, not that this delivery wanted too much. */
export function speaksOfAddress(failure: OpenFailure): boolean {
  switch (failure.kind) {
    case 'connect':
      return true;
    case 'broken':
      return failure.command === 'connect';
    case 'reply':
    case 'tls':
    case 'peer':
    case 'local':
      return false;
  }
}

/** A bucket of permissions for messages per minute. */
export type Bucket = { readonly tokens: number; readonly at: Milliseconds };

/** Takes one permission at a (monotonic) moment: the bucket afterwards and the wait, 0 where one was there. */
export function takeToken(
  bucket: Bucket,
  perMinute: number,
  now: Milliseconds,
): { readonly bucket: Bucket; readonly wait: Milliseconds } {
  const burst = Math.max(1, perMinute / 60);
  const tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perMinute) / 60_000);
  if (tokens >= 1) return { bucket: { tokens: tokens - 1, at: now }, wait: 0 };
  return { bucket: { tokens, at: now }, wait: Math.ceil(((1 - tokens) * 60_000) / perMinute) };
}
