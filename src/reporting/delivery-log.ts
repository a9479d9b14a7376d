/**
 * Tells the log what became of mail: one line an outcome, at the edge, once. delivery-line-format.ts says what is in a line.
 */
import { assertNever, type Instant } from '../domain/basics.ts';
import type { DeliveryReport } from '../domain/outcome.ts';
import type { Claim, RecipientSettlement } from '../domain/queue.ts';
import type { Logger } from '../platform/logger.ts';
import {
  acceptedLine,
  bounceLine,
  deliveredLine,
  failureLine,
  fallbackLine,
  type LoginFailed,
  loginLine,
  type MessageAccepted,
  type MessageRejected,
  NO_PATH,
  type PolicyWouldBlock,
  rejectedLine,
  type SessionRejected,
  type Settled,
  type SharedFacts,
  sessionLine,
  shareFacts,
  type TlsFallback,
  wouldBlockLine,
} from './delivery-line-format.ts';
import type { MadeNotice } from './notices.ts';

/** What mail has to tell. Every function writes its lines and returns; none throws. */
export type DeliveryLog = {
  sessionRejected(fields: SessionRejected): void;
  messageAccepted(fields: MessageAccepted): void;
  messageRejected(fields: MessageRejected): void;
  policyWouldBlock(fields: PolicyWouldBlock): void;
  loginFailed(fields: LoginFailed): void;
  /** `tls.fallback`, when it happens: several messages may wait for the connection, so it names none. */
  tlsFallback(fallback: TlsFallback): void;
  /** One `delivery.*` for each recipient. Call it after the settlement is durable. */
  settled(facts: Settled): void;
  /** `delivery.failed` for each recipient an operator gave up. */
  returned(claim: Claim, settled: readonly RecipientSettlement[], at: Instant): void;
  /** `bounce.created`, after the settlement that carries it is durable. */
  bounceCreated(made: MadeNotice, about: Claim): void;
};

function logRecipient(log: Logger, shared: SharedFacts, settled: RecipientSettlement, report: DeliveryReport | null): void {
  const claimed = shared.claim.recipients.find(({ number }) => number === settled.number);
  if (claimed === undefined) return;
  switch (settled.becomes) {
    case 'delivered':
      log.info('delivery.delivered', deliveredLine(shared, claimed, report));
      break;
    case 'queued': {
      const line = failureLine(shared, claimed, settled.failure);
      line['nextAttempt'] = new Date(settled.due).toISOString();
      log.info('delivery.deferred', line);
      break;
    }
    case 'expired':
      log.warn('delivery.expired', failureLine(shared, claimed, settled.failure));
      break;
    case 'bounced':
      log.warn('delivery.failed', failureLine(shared, claimed, settled.failure));
      break;
    default:
      assertNever(settled);
  }
}

/** The lines of mail, written to `log`. Serves as the listeners' log, too. */
export function createDeliveryLog(log: Logger): DeliveryLog {
  return {
    sessionRejected: (fields) => log.info('session.rejected', sessionLine(fields)),
    messageAccepted: (fields) => log.info('message.accepted', acceptedLine(fields)),
    messageRejected: (fields) => log.info('message.rejected', rejectedLine(fields)),
    policyWouldBlock: (fields) => log.warn('policy.would-block', wouldBlockLine(fields)),
    loginFailed: (fields) => log.warn('login.failed', loginLine(fields)),
    tlsFallback: (fallback) => log.warn('tls.fallback', fallbackLine(fallback)),
    settled: ({ claim, report, settled }) => {
      const facts = shareFacts(claim, report.path, report);
      for (const recipient of settled) logRecipient(log, facts, recipient, report);
    },
    returned: (claim, settled, at) => {
      const facts = shareFacts(claim, NO_PATH, { startedAt: at, endedAt: at });
      for (const recipient of settled) logRecipient(log, facts, recipient, null);
    },
    bounceCreated: (made, about) => log.info('bounce.created', bounceLine(made, about)),
  };
}
