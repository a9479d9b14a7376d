/**
 * The log lines of mail: what came in, how each recipient fared, over which TLS (interface.md, section 6). Facts only, one line an outcome;
 * foreign text is capped and escaped here, addresses are hidden by the logger where the operator wants that.
 */
import { mailboxText, reversePathText } from '../domain/address.ts';
import { assertNever, type Instant } from '../domain/basics.ts';
import type { Envelope, Recipients } from '../domain/envelope.ts';
import { escapeText } from '../domain/escape.ts';
import type { AttemptPath, DeliveryFailure, DeliveryReport, SmtpReply } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient, RecipientSettlement, Settlement } from '../domain/queue.ts';
import type { PolicySource, Rung, TlsFacts, TlsPolicy } from '../domain/tls.ts';
import type { Logger } from '../platform/logger.ts';
import type { MadeNotice } from './notices.ts';

/** Recipients named in `message.accepted`; `recipients` counts all. */
const MOST_NAMED = 20;

/** `policy` as the log shows it. */
export type PolicyFields = { readonly level: 'none' | 'opportunistic' | 'encrypt'; readonly source: string };

/** A client turned away before or after it named a message. */
export type Rejection = {
  readonly ip: string;
  readonly helo: string | null;
  readonly listener: string;
  readonly tls: TlsFacts | null;
  readonly reply: SmtpReply;
};

/** What mail has to tell. Every function writes its lines and returns; none throws. */
export type DeliveryLog = {
  /** `message.accepted`: durable from here on. */
  accepted(envelope: Envelope, recipients: Recipients): void;
  /** `message.rejected`: a transaction ended without a message; `from` and `to` as far as they were understood. */
  rejected(rejection: Rejection & { readonly from: string | null; readonly to: string | null }): void;
  /** `session.rejected`: the connection itself was not wanted. */
  sessionRejected(rejection: Rejection): void;
  /** `tls.fallback` for each rung left, then one `delivery.*` for each recipient. Call it after the settlement is durable. */
  settled(claim: Claim, settlement: Settlement, report: DeliveryReport): void;
  /** `delivery.failed` for each recipient an operator gave up. */
  returned(claim: Claim, settlement: Settlement, at: Instant): void;
  /** `bounce.created`, after the settlement that carries it is durable. */
  bounceCreated(made: MadeNotice, about: Claim): void;
};

function sourceText(source: PolicySource): string {
  switch (source.kind) {
    case 'connector':
      return `connector:${source.name}`;
    case 'dane':
      return `dane:${source.tlsaBase}`;
    case 'mta-sts':
      return `mta-sts:${source.domain}`;
    case 'message':
      return source.demand;
    case 'credentials':
    case 'default':
      return source.kind;
  }
}

const LEVEL = { always: 'none', allowed: 'opportunistic', never: 'encrypt' } as const;

/** The policy as `policy {level, source}`; several sources are joined by a comma. */
export const policyFields = (policy: TlsPolicy): PolicyFields => ({
  level: LEVEL[policy.plaintext],
  source: policy.because.length === 1 ? sourceText(policy.because[0]) : policy.because.map(sourceText).join(','),
});

type ReplyFields = { readonly code: number; readonly enhanced: string | null; readonly text: string };
const replyFields = ({ code, enhanced, text }: SmtpReply): ReplyFields => ({ code, enhanced, text: escapeText(text) });

const tlsFields = (tls: TlsFacts | null): TlsFacts | null =>
  tls === null
    ? null
    : { version: tls.version, cipher: tls.cipher, group: tls.group, peer: tls.peer === null ? null : escapeText(tls.peer) };

/** What the lines of one attempt share, worked out once. */
type Shared = {
  readonly claim: Claim;
  readonly from: string;
  readonly path: AttemptPath;
  readonly policy: PolicyFields | null;
  readonly tls: TlsFacts | null;
  readonly delayMs: number;
  readonly attemptMs: number;
};

type Line = Readonly<Record<string, unknown>>;

/** The common fields, in the order of interface.md. The host is the one that failed where that is known, else the attempt's. */
const common = (shared: Shared, claimed: ClaimedRecipient, failure: DeliveryFailure | null): Record<string, unknown> => ({
  queueId: shared.claim.queueId,
  from: shared.from,
  to: mailboxText(claimed.recipient.mailbox),
  connector: shared.path.connector,
  policy: shared.policy,
  mx: failure?.mx ?? shared.path.mx,
  ip: failure?.ip ?? shared.path.ip,
  rung: shared.path.rung,
  tls: shared.tls,
  reply: null,
  attempt: claimed.attempts,
  delayMs: shared.delayMs,
  attemptMs: shared.attemptMs,
});

function failureLine(shared: Shared, claimed: ClaimedRecipient, failure: DeliveryFailure): Record<string, unknown> {
  const line = common(shared, claimed, failure);
  if (failure.reply !== null) line['reply'] = replyFields(failure.reply);
  line['status'] = failure.enhanced;
  line['text'] = escapeText(failure.text);
  return line;
}

function deliveredLine(shared: Shared, claimed: ClaimedRecipient, report: DeliveryReport | null): Line {
  const line = common(shared, claimed, null);
  const outcome = report?.outcomes.get(claimed.number);
  if (outcome?.kind === 'delivered') line['reply'] = replyFields(outcome.reply);
  return line;
}

function logRecipient(log: Logger, shared: Shared, settled: RecipientSettlement, report: DeliveryReport | null): void {
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

/** `tls.fallback` where another rung followed: which was left, for which, and why. */
function logFallbacks(log: Logger, { claim, path, policy }: Shared): void {
  path.fallbacks.forEach(({ rung, failure }, at) => {
    const next: Rung | null = path.fallbacks[at + 1]?.rung ?? path.rung;
    if (next === null || next === rung) return;
    const why = failure.kind === 'refused' ? { ...failure, text: escapeText(failure.text) } : failure;
    log.warn('tls.fallback', {
      queueId: claim.queueId,
      domain: claim.domain,
      connector: path.connector,
      policy,
      mx: path.mx,
      ip: path.ip,
      rung: next,
      leftRung: rung,
      failure: why,
    });
  });
}

function shared(claim: Claim, path: AttemptPath, times: Pick<DeliveryReport, 'startedAt' | 'endedAt'>): Shared {
  return {
    claim,
    path,
    from: reversePathText(claim.envelope.reversePath),
    policy: path.policy === null ? null : policyFields(path.policy),
    tls: tlsFields(path.tls),
    delayMs: times.endedAt - claim.envelope.receivedAt,
    attemptMs: times.endedAt - times.startedAt,
  };
}

const NO_PATH = { policy: null, mx: null, ip: null, rung: null, tls: null, fallbacks: [] } as const;

const rejectionFields = ({ ip, helo, listener, tls, reply }: Rejection): Record<string, unknown> => ({
  ip,
  helo: helo === null ? null : escapeText(helo, 255),
  listener,
  tls: tlsFields(tls),
  reply: replyFields(reply),
});

function acceptedLine(envelope: Envelope, recipients: Recipients): Line {
  const { origin } = envelope;
  const line: Record<string, unknown> = {
    queueId: envelope.queueId,
    from: reversePathText(envelope.reversePath),
    to:
      recipients.length === 1
        ? mailboxText(recipients[0].mailbox)
        : recipients.slice(0, MOST_NAMED).map(({ mailbox }) => mailboxText(mailbox)),
    recipients: recipients.length,
    sizeBytes: envelope.sizeBytes,
  };
  if (origin.kind === 'notice') return line;
  line['ip'] = origin.ip;
  line['helo'] = escapeText(origin.helo, 255);
  line['listener'] = origin.listener;
  line['inboundConnectors'] = origin.inboundConnectors;
  line['user'] = origin.user;
  line['tls'] = tlsFields(origin.tls);
  return line;
}

/** The lines of mail, written to `log`. */
export function createDeliveryLog(log: Logger): DeliveryLog {
  return {
    accepted: (envelope, recipients) => log.info('message.accepted', acceptedLine(envelope, recipients)),
    rejected: (rejection) => {
      const line = rejectionFields(rejection);
      log.info('message.rejected', {
        from: rejection.from && escapeText(rejection.from),
        to: rejection.to && escapeText(rejection.to),
        ...line,
      });
    },
    sessionRejected: (rejection) => log.info('session.rejected', rejectionFields(rejection)),
    settled: (claim, settlement, report) => {
      const facts = shared(claim, report.path, report);
      if (report.path.fallbacks.length > 0) logFallbacks(log, facts);
      for (const recipient of settlement.recipients) logRecipient(log, facts, recipient, report);
    },
    returned: (claim, settlement, at) => {
      const facts = shared(claim, { ...NO_PATH, connector: settlement.connector ?? '' }, { startedAt: at, endedAt: at });
      for (const recipient of settlement.recipients) logRecipient(log, facts, recipient, null);
    },
    bounceCreated: ({ kind, message }, about) =>
      log.info('bounce.created', {
        queueId: message.envelope.queueId,
        from: '',
        to: mailboxText(message.recipients[0].mailbox),
        kind,
        about: about.queueId,
        domain: about.domain,
        sizeBytes: message.envelope.sizeBytes,
      }),
  };
}
