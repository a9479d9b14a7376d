/**
 * The log lines of mail as data (interface.md, section 6): foreign text is capped and escaped here, addresses are hidden by the
 * logger where the operator wants that. Writes nothing.
 */
import { mailboxText, reversePathText } from '../domain/address.ts';
import type { QueueId } from '../domain/envelope.ts';
import { escapeText } from '../domain/escape.ts';
import type { AttemptPath, Command, DeliveryFailure, DeliveryReport, SmtpReply } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient, RecipientSettlement } from '../domain/queue.ts';
import type { PolicySource, Rung, TlsFacts, TlsFailure, TlsPolicy } from '../domain/tls.ts';
import type { MadeNotice } from './notices.ts';

/** Recipients named in lines about whole messages; `recipients` counts all. */
const MOST_NAMED = 20;

/** `policy` as the log shows it. */
export type PolicyFields = { readonly level: 'none' | 'opportunistic' | 'encrypt'; readonly source: string };

/** What the lines about a client share. */
export type ClientFields = {
  readonly listener: string;
  readonly ip: string;
  readonly helo: string | null;
  readonly tls: TlsFacts | null;
};

/** A session ended, or never began, by our refusal or a broken handshake. */
export type SessionRejected = ClientFields & { readonly reason: string; readonly reply: SmtpReply | null };

/** A message is durable. */
export type MessageAccepted = ClientFields & {
  readonly queueId: QueueId;
  readonly from: string;
  readonly to: readonly string[];
  readonly sizeBytes: number;
  /** Inbound connectors that matched. */
  readonly connectors: readonly string[];
  /** Who logged in. */
  readonly user: string | null;
};

/** An inbound connector in test mode would have refused what was taken. */
export type PolicyWouldBlock = ClientFields & { readonly connector: string; readonly from: string; readonly reply: SmtpReply };

/** Someone could not log in. `user` null: there is no such user. */
export type LoginFailed = ClientFields & {
  readonly mechanism: string;
  readonly user: string | null;
  readonly reply: SmtpReply;
};

/** A sender, a recipient or a message was refused. */
export type MessageRejected = ClientFields & {
  readonly command: Command;
  readonly from: string | null;
  readonly to: readonly string[];
  readonly connectors: readonly string[];
  readonly reply: SmtpReply;
};

/** One step down the ladder. `to` null: no rung was left at this address. */
export type TlsFallback = {
  readonly connector: string;
  readonly mx: string | null;
  readonly ip: string | null;
  readonly from: Rung;
  readonly to: Rung | null;
  readonly failure: TlsFailure;
};

/** A claim at its end. */
export type Settled = {
  readonly claim: Claim;
  readonly report: DeliveryReport;
  readonly settled: readonly RecipientSettlement[];
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
export type SharedFacts = {
  readonly claim: Claim;
  readonly from: string;
  readonly path: AttemptPath;
  readonly policy: PolicyFields | null;
  readonly tls: TlsFacts | null;
  readonly delayMs: number;
  readonly attemptMs: number;
};

/** The fields of a line, without its event. */
export type Line = Readonly<Record<string, unknown>>;

/** The common fields, in the order of interface.md. The host is the one that failed where that is known, else the attempt's. */
const common = (shared: SharedFacts, claimed: ClaimedRecipient, failure: DeliveryFailure | null): Record<string, unknown> => ({
  queueId: shared.claim.queueId,
  from: shared.from,
  to: mailboxText(claimed.recipient.mailbox),
  connector: shared.path.connector || null,
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

/** `delivery.deferred`, `.failed` and `.expired`. */
export function failureLine(shared: SharedFacts, claimed: ClaimedRecipient, failure: DeliveryFailure): Record<string, unknown> {
  const line = common(shared, claimed, failure);
  if (failure.reply !== null) line['reply'] = replyFields(failure.reply);
  line['status'] = failure.enhanced;
  line['text'] = escapeText(failure.text);
  return line;
}

/** `delivery.delivered`. */
export function deliveredLine(shared: SharedFacts, claimed: ClaimedRecipient, report: DeliveryReport | null): Line {
  const line = common(shared, claimed, null);
  const outcome = report?.outcomes.get(claimed.number);
  if (outcome?.kind === 'delivered') line['reply'] = replyFields(outcome.reply);
  return line;
}

/** `tls.fallback`. */
export function fallbackLine({ connector, mx, ip, from, to, failure }: TlsFallback): Line {
  const why = failure.kind === 'refused' ? { ...failure, text: escapeText(failure.text) } : failure;
  return { connector, mx, ip, rung: to, leftRung: from, failure: why };
}

/** What the lines of one attempt share. */
export function shareFacts(claim: Claim, path: AttemptPath, times: Pick<DeliveryReport, 'startedAt' | 'endedAt'>): SharedFacts {
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

/** The path of an end that no attempt brought. */
export const NO_PATH: AttemptPath = {
  connector: '',
  policy: null,
  mx: null,
  ip: null,
  rung: null,
  tls: null,
  fallbacks: [],
  wouldBlock: null,
};

const clientFields = ({ listener, ip, helo, tls }: ClientFields): Record<string, unknown> => ({
  ip,
  helo: helo === null ? null : escapeText(helo, 255),
  listener,
  tls: tlsFields(tls),
});

/** One recipient as text, several as a list of at most twenty; `recipients` counts them. */
const recipientFields = (to: readonly string[]): Record<string, unknown> => ({
  to: to.length === 1 ? escapeText(to[0] ?? '') : to.slice(0, MOST_NAMED).map((address) => escapeText(address)),
  recipients: to.length,
});

/** `message.accepted`. */
export const acceptedLine = (fields: MessageAccepted): Line => ({
  queueId: fields.queueId,
  from: fields.from,
  ...recipientFields(fields.to),
  connectors: fields.connectors,
  user: fields.user,
  sizeBytes: fields.sizeBytes,
  ...clientFields(fields),
});

/** `message.rejected`. */
export const rejectedLine = (fields: MessageRejected): Line => ({
  from: fields.from === null ? null : escapeText(fields.from),
  ...recipientFields(fields.to),
  connectors: fields.connectors,
  command: fields.command,
  reply: replyFields(fields.reply),
  ...clientFields(fields),
});

/** `policy.would-block`. */
export const wouldBlockLine = (fields: PolicyWouldBlock): Line => ({
  connector: fields.connector,
  from: escapeText(fields.from),
  reply: replyFields(fields.reply),
  ...clientFields(fields),
});

/** `login.failed`. */
export const loginLine = (fields: LoginFailed): Line => ({
  user: fields.user,
  mechanism: escapeText(fields.mechanism.slice(0, 20)),
  reply: replyFields(fields.reply),
  ...clientFields(fields),
});

/** `bounce.created`. */
export const bounceLine = ({ kind, message }: MadeNotice, about: Claim): Line => ({
  queueId: message.envelope.queueId,
  from: '',
  to: mailboxText(message.recipients[0].mailbox),
  kind,
  about: about.queueId,
  domain: about.domain,
  sizeBytes: message.envelope.sizeBytes,
});

/** `session.rejected`. */
export const sessionLine = (fields: SessionRejected): Line => ({
  ...clientFields(fields),
  reply: fields.reply === null ? null : replyFields(fields.reply),
  text: escapeText(fields.reason),
});
