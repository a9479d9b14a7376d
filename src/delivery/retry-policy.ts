/**
 * What becomes of a recipient after an attempt: the only place where a recipient changes state (architecture.md, section 4).
 */
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';
import type { RetrySchedule } from '../domain/connector.ts';
import type { DeliveryOutcome } from '../domain/outcome.ts';
import type { ClaimedRecipient, RecipientSettlement } from '../domain/queue.ts';
import { asExpired } from './failure-policy.ts';

/** What the decision looks at. `chance` in [0, 1) spreads retries by ±10 %. */
export type RetryFacts = {
  readonly receivedAt: Instant;
  readonly now: Instant;
  readonly schedule: RetrySchedule;
  readonly chance: number;
};

const JITTER = 0.1;

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
      const expiry = after(facts.receivedAt, facts.schedule.expireAfter);
      if (facts.now >= expiry) return { number, becomes: 'expired', failure: asExpired(outcome.failure) };
      const spread = 1 - JITTER + 2 * JITTER * facts.chance;
      const wanted = after(facts.now, Math.round(retryInterval(facts.schedule, claimed.attempts) * spread));
      const due = Math.min(wanted, expiry) as Instant;
      return {
        number,
        becomes: 'queued',
        due,
        failure: outcome.failure,
        delayNoticeSent: claimed.delayNoticeSent || isDelayed(facts),
      };
    }
  }
}

/** Old enough for the sender to be told that it takes time. */
const isDelayed = ({ receivedAt, now, schedule }: RetryFacts): boolean =>
  schedule.delayNoticeAfter !== null && now >= after(receivedAt, schedule.delayNoticeAfter);

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
