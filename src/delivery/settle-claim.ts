/**
 * Ends a claim: what becomes of each recipient, the notices that calls for, both into the spool in one transaction, then the news.
 * Does not give up while the spool stores nothing: a delivered message whose settlement is dropped would be delivered again.
 */
import { type Clock, type Instant, isNonEmpty, type Milliseconds, type Random } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { DeliveryReport } from '../domain/outcome.ts';
import type { Claim, RecipientSettlement, Settlement } from '../domain/queue.ts';
import type { MadeNotice } from '../reporting/notices.ts';
import type { Spool } from '../spool/spool.ts';
import { pause } from './pause.ts';
import { scheduleFor, settleRecipient } from './retry-policy.ts';

/** A claim after its attempt. */
export type Ended = {
  readonly claim: Claim;
  readonly connector: OutboundConnector;
  readonly report: DeliveryReport;
  /** No attempt was made, because the destination is down until then; null: one was made. */
  readonly downUntil: Instant | null;
};

/** A claim at its end: what the log tells and the notices are made from. */
export type Finished = Omit<Ended, 'downUntil'> & { readonly settled: readonly RecipientSettlement[] };

/** A claim settled for good, with the notices that went into the queue with it. */
export type Settled = Finished & { readonly notices: readonly MadeNotice[] };

/** What settling works with. */
export type SettleContext = {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly random: Random;
  /** Renders the notices the settlement calls for. */
  notices(finished: Finished, config: Config): Promise<readonly MadeNotice[]>;
  /** Tells the world; called once the settlement is durable. */
  settled(settled: Settled): void;
  /** A bug or a broken spool: told, never thrown. */
  fault(what: string, error: unknown): void;
};

const FIRST_PAUSE: Milliseconds = 1000;
const LONGEST_PAUSE: Milliseconds = 30_000;

/**
 * Settles the claim, trying again while the spool refuses, until `over` aborts. The caller goes on holding the claim, and renews
 * it, until this resolves.
 */
export async function settleClaim(
  ended: Ended,
  order: { readonly config: Config; readonly over: AbortSignal },
  context: SettleContext,
): Promise<void> {
  const { claim, connector, report } = ended;
  const recipients = fates(ended, context);
  if (!isNonEmpty(recipients)) return;
  const finished: Finished = { claim, connector, report, settled: recipients };
  const notices = await context.notices(finished, order.config);
  const { queueId, domain, fence } = claim;
  const stored = await store(
    {
      queueId,
      domain,
      fence,
      connector: connector.name,
      recipients,
      notices: notices.map(({ message }) => message),
      untried: ended.downUntil !== null,
    },
    order.over,
    context,
  );
  // A lease outrun: what was delivered was delivered, but of the rest nothing holds, and no notice went out.
  if (stored !== 'given-up') context.settled({ ...finished, notices: stored === 'stale' ? [] : notices });
}

function fates({ claim, connector, report, downUntil }: Ended, { clock, random }: SettleContext): readonly RecipientSettlement[] {
  const { receivedAt } = claim.envelope;
  const schedule = scheduleFor(claim.envelope, connector.retry);
  const facts = { receivedAt, now: clock.now(), schedule, chance: random(), downUntil };
  const settled: RecipientSettlement[] = [];
  for (const claimed of claim.recipients) {
    const outcome = report.outcomes.get(claimed.number);
    if (outcome !== undefined) settled.push(settleRecipient(claimed, outcome, facts));
  }
  return settled;
}

/** Stores the settlement, however long it takes. 'given-up': the spool is closed, or `over` came first. */
async function store(
  settlement: Settlement,
  over: AbortSignal,
  { spool, fault }: SettleContext,
): Promise<'settled' | 'stale' | 'given-up'> {
  for (let wait = FIRST_PAUSE; ; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
    const result = await spool.settle(settlement);
    if (result.ok) return result.value;
    const last = result.error.kind === 'closed' || over.aborted;
    if (wait === FIRST_PAUSE) {
      const next = last ? 'given up, the message will be tried again' : 'going on until it is stored';
      fault(`settling ${settlement.queueId}: ${next}`, result.error.detail);
    }
    if (last) return 'given-up';
    await pause(wait, over);
  }
}
