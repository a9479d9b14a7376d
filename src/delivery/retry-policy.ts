/**
 * What becomes of a recipient after an attempt: the only place where a recipient changes state (architecture.md, section 4).
 */
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';
import type { RetrySchedule } from '../domain/connector.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { DeliveryOutcome } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient, RecipientSettlement } from '../domain/queue.ts';
import { asExpired } from './failure-policy.ts';

/** A message's age, and what is made of it. */
export type AgeFacts = { readonly receivedAt: Instant; readonly now: Instant; readonly schedule: RetrySchedule };

/** What the decision looks at. `chance` in [0, 1) spreads retries by ±10 %. */
export type RetryFacts = AgeFacts & {
  readonly chance: number;
  /** No attempt was made, because the destination is down until then; null: one was made. */
  readonly downUntil: Instant | null;
};

const JITTER = 0.1;
/** TLS reports are given up after a day (RFC 8460, section 5.5). */
const REPORT_PATIENCE: Milliseconds = 86_400_000;
/** What must be looked at is looked at no sooner than this. */
const SHORTEST_ATTENTION: Milliseconds = 1000;

/** The connector's schedule; for a report of ours no longer than reports are worth. */
export const scheduleFor = ({ origin }: Pick<Envelope, 'origin'>, schedule: RetrySchedule): RetrySchedule =>
  origin.kind === 'report' && schedule.expireAfter > REPORT_PATIENCE ? { ...schedule, expireAfter: REPORT_PATIENCE } : schedule;

/** How long to wait after the given number of attempts, before jitter. The last interval repeats. */
export function retryInterval(schedule: RetrySchedule, attempts: number): Milliseconds {
  const at = Math.min(Math.max(attempts, 1), schedule.intervals.length) - 1;
  return schedule.intervals[at] ?? schedule.intervals[0];
}

/** The recipient's next state. A last attempt is made at the moment of expiry, not long before it. */
export function settleRecipient(claimed: ClaimedRecipient, outcome: DeliveryOutcome, facts: RetryFacts): RecipientSettlement {
  const { number } = claimed;
  switch (outcome.kind) {
    case 'delivered':
      return { number, becomes: 'delivered' };
    case 'failed':
      return { number, becomes: 'bounced', failure: outcome.failure };
    case 'deferred': {
      const expiry = expiryOf(facts);
      if (facts.now >= expiry) return { number, becomes: 'expired', failure: asExpired(outcome.failure) };
      const due = Math.min(facts.downUntil ?? nextAttempt(claimed, facts), expiry) as Instant;
      const delayNoticeSent = claimed.delayNoticeSent || isDelayed(facts);
      const attention = attentionAt(facts, delayNoticeSent);
      return { number, becomes: 'queued', due, attention, failure: outcome.failure, delayNoticeSent };
    }
  }
}

function nextAttempt({ attempts }: ClaimedRecipient, { now, schedule, chance }: RetryFacts): Instant {
  const spread = 1 - JITTER + 2 * JITTER * chance;
  return after(now, Math.round(retryInterval(schedule, attempts) * spread));
}

const expiryOf = ({ receivedAt, schedule }: AgeFacts): Instant => after(receivedAt, schedule.expireAfter);

/** Old enough for the sender to be told that it takes time. */
const isDelayed = ({ receivedAt, now, schedule }: AgeFacts): boolean =>
  schedule.delayNoticeAfter !== null && now >= after(receivedAt, schedule.delayNoticeAfter);

/** When a queued recipient must be looked at even if its destination is down: for its delay notice, or because it expires. */
export function attentionAt(facts: AgeFacts, delayNoticeSent: boolean): Instant {
  const { receivedAt, now, schedule } = facts;
  const notice = delayNoticeSent ? null : schedule.delayNoticeAfter;
  const wanted = Math.min(expiryOf(facts), notice === null ? Number.POSITIVE_INFINITY : after(receivedAt, notice));
  return Math.max(wanted, after(now, SHORTEST_ATTENTION)) as Instant;
}

/** What is done with a claim whose destination the thread knows to be down. */
export type DownDecision =
  /** Settled as deferred, without an attempt. */
  | 'settle'
  /** Tried all the same: someone says that the destination is up. */
  | 'try'
  /** Given back, to wait with the destination. */
  | 'release';

/**
 * What to do with a claim whose destination the thread knows to be down. `markedUp`: the spool was told that it is down, and hands
 * out of it nevertheless, so another thread reached it or an operator wants it tried. A claim handed out for attention is settled
 * in any case: released, it would come again at once.
 */
export function decideWhileDown(
  claim: Pick<Claim, 'attention' | 'recipients'>,
  facts: AgeFacts & { readonly markedUp: boolean },
): DownDecision {
  if (claim.attention === true) return 'settle';
  if (facts.markedUp) return 'try';
  const overdue = facts.now >= expiryOf(facts) || (isDelayed(facts) && claim.recipients.some((each) => !each.delayNoticeSent));
  return overdue ? 'settle' : 'release';
}

/** The recipient's end where an operator gives it up: the sender is told as of any failure. */
export const settleByOperator = ({ number }: ClaimedRecipient): RecipientSettlement => ({
  number,
  becomes: 'bounced',
  failure: {
    permanent: true,
    enhanced: '5.7.0',
    text: 'the administrator of this relay gave up on the delivery',
    reply: null,
    mx: null,
    ip: null,
  },
});
