/**
 * Makes the notices an attempt calls for: asks notice-policy.ts which, reads what may be returned of the original, and renders
 * them, ready to be settled together with the recipients they are about. Costs nothing where none is due.
 */
import type { Clock, Instant } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { DeliveryReport } from '../domain/outcome.ts';
import type { Body, Claim, NewMessage, RecipientSettlement } from '../domain/queue.ts';
import { type OriginalContent, renderNotice } from './dsn-format.ts';
import { type Notice, planNotices } from './notice-policy.ts';

/** What making notices needs of the world. */
export type NoticeTools = {
  readonly clock: Clock;
  readonly newQueueId: () => QueueId;
  /** At least 16 random letters and digits. */
  readonly newBoundarySeed: () => string;
  readonly readHead: (body: Body) => Promise<OriginalContent | null>;
};

/** A claim and what becomes of it. `report` is null where an operator ended the message without an attempt. */
export type Settled = {
  readonly claim: Claim;
  readonly settled: readonly RecipientSettlement[];
  readonly report: DeliveryReport | null;
  /** When the queue gives up on this message. */
  readonly willRetryUntil: Instant;
};

/** A notice ready for `Settlement.notices`; `kind` is for the log, once the settlement is durable. */
export type MadeNotice = { readonly kind: Notice['kind']; readonly message: NewMessage };

/** The notices for the settlement of this claim, usually none. Never rejects: an unreadable body is not returned. */
export async function makeNotices(
  { claim, settled, report, willRetryUntil }: Settled,
  config: Pick<Config, 'hostname' | 'bounces'>,
  tools: NoticeTools,
): Promise<readonly MadeNotice[]> {
  const notices = planNotices({
    claim,
    settled,
    outcomes: report?.outcomes ?? new Map(),
    mx: report?.path.mx ?? null,
    ip: report?.path.ip ?? null,
    willRetryUntil,
  });
  if (notices.length === 0) return [];
  const originalContent = await tools.readHead(claim.body);
  const made: MadeNotice[] = [];
  for (const notice of notices) {
    const message = renderNotice({
      notice,
      queueId: tools.newQueueId(),
      now: tools.clock.now(),
      boundarySeed: tools.newBoundarySeed(),
      config,
      original: claim.envelope,
      originalContent,
    });
    if (message !== null) made.push({ kind: notice.kind, message });
  }
  return made;
}
