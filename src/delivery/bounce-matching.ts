/**
 * Gives up queued recipients for an operator: takes them out of the queue page by page, with failure notices to their senders.
 */
import { type Clock, isNonEmpty, ok, type Result } from '../domain/basics.ts';
import type { Claim, QueueFilter, RecipientSettlement } from '../domain/queue.ts';
import type { MadeNotice } from '../reporting/notices.ts';
import type { Spool, SpoolAdmin, SpoolProblem } from '../spool/spool.ts';
import { settleByOperator } from './retry-policy.ts';
import { LEASE } from './scheduler.ts';

/** What giving up works with. */
export type BounceContext = {
  readonly spool: Pick<Spool, 'settle'> & Pick<SpoolAdmin, 'claimMatching'>;
  readonly clock: Clock;
  notices(claim: Claim, settled: readonly RecipientSettlement[]): Promise<readonly MadeNotice[]>;
  /** Tells the log, once a claim is settled. */
  settled(claim: Claim, settled: readonly RecipientSettlement[], notices: readonly MadeNotice[]): void;
};

const PAGE = 200;

/** Returns how many recipients were given up. What another thread is delivering right now is left alone. */
export async function bounceMatching(filter: QueueFilter, context: BounceContext): Promise<Result<number, SpoolProblem>> {
  let count = 0;
  for (;;) {
    const claims = await context.spool.claimMatching(filter, PAGE, LEASE);
    for (const claim of claims) {
      const settled = claim.recipients.map(settleByOperator);
      if (!isNonEmpty(settled)) continue;
      const notices = await context.notices(claim, settled);
      const { queueId, domain, fence } = claim;
      const messages = notices.map(({ message }) => message);
      const done = await context.spool.settle({
        queueId,
        domain,
        fence,
        connector: null,
        recipients: settled,
        notices: messages,
      });
      if (!done.ok) return done;
      count += settled.length;
      context.settled(claim, settled, notices);
    }
    if (claims.length === 0) return ok(count);
  }
}
