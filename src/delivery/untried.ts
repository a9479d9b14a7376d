/**
 * What is told of a claim that is settled without an attempt, because its destination is down: the failure the destination was
 * marked down with. Builds data only.
 */
import type { Instant } from '../domain/basics.ts';
import type { DeliveryFailure, DeliveryOutcome, DeliveryReport } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient } from '../domain/queue.ts';
import type { Trouble } from './destination.ts';

const UNKNOWN: DeliveryFailure = {
  permanent: false,
  enhanced: '4.4.1',
  text: 'no host could be reached',
  reply: null,
  mx: null,
  ip: null,
};

/** What an attempt that reached no host says of its destination. */
export function troubleOf({ path, outcomes }: DeliveryReport): Trouble {
  for (const outcome of outcomes.values())
    if (outcome.kind === 'deferred') return { failure: outcome.failure, path: { ...path, fallbacks: [] } };
  return { failure: UNKNOWN, path };
}

/** The claim, without the attempt that was counted for it, and a report in which all its recipients are deferred. */
export function untried(
  claim: Claim,
  { failure, path }: Trouble,
  now: Instant,
): { readonly claim: Claim; readonly report: DeliveryReport } {
  const uncounted = (claimed: ClaimedRecipient): ClaimedRecipient => ({ ...claimed, attempts: claimed.attempts - 1 });
  const [first, ...rest] = claim.recipients;
  const recipients = [uncounted(first), ...rest.map(uncounted)] as const;
  const outcomes = new Map<number, DeliveryOutcome>(recipients.map(({ number }) => [number, { kind: 'deferred', failure }]));
  return { claim: { ...claim, recipients }, report: { path, startedAt: now, endedAt: now, outcomes } };
}
