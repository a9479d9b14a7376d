/**
 * What the history keeps of a message's life, made from the facts the log lines are made from. Writes nothing.
 */
import { mailboxText } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { AttemptPath, DeliveryReport } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient, RecipientSettlement } from '../domain/queue.ts';
import type { MessageAccepted, Settled } from './delivery-line-format.ts';
import type { AcceptedEvent, AttemptEvent, GivenUpEvent, NoticeEvent, RecipientFate } from './history.ts';
import type { MadeNotice } from './notices.ts';

/** A message became durable. */
export const acceptedEvent = (fields: MessageAccepted, at: Instant): AcceptedEvent => ({
  kind: 'accepted',
  at,
  queueId: fields.queueId,
  from: fields.from,
  to: fields.to,
  sizeBytes: fields.sizeBytes,
  ip: fields.ip,
  helo: fields.helo,
  listener: fields.listener,
  tls: fields.tls,
  connectors: fields.connectors,
});

/** An attempt, settled. */
export function attemptEvent({ claim, report, settled }: Settled): AttemptEvent {
  const { path } = report;
  const recipients: RecipientFate[] = [];
  for (const settlement of settled) {
    const claimed = claimedOf(claim, settlement.number);
    if (claimed !== undefined) recipients.push(fateOf(claimed, settlement, report));
  }
  return {
    kind: 'attempt',
    at: report.endedAt,
    queueId: claim.queueId,
    domain: claim.domain,
    connector: path.connector,
    policy: path.policy,
    rung: path.rung,
    tls: path.tls,
    fallbacks: path.fallbacks,
    wouldBlock: path.wouldBlock,
    attemptMs: report.endedAt - report.startedAt,
    recipients,
  };
}

const claimedOf = (claim: Claim, number: number): ClaimedRecipient | undefined =>
  claim.recipients.length === 1 && claim.recipients[0].number === number
    ? claim.recipients[0]
    : claim.recipients.find((claimed) => claimed.number === number);

function fateOf(claimed: ClaimedRecipient, settlement: RecipientSettlement, report: DeliveryReport): RecipientFate {
  const to = mailboxText(claimed.recipient.mailbox);
  if (settlement.becomes === 'delivered') return deliveredFate(to, claimed, report);
  const { failure } = settlement;
  return {
    to,
    becomes: settlement.becomes,
    attempt: claimed.attempts,
    mx: failure.mx ?? report.path.mx,
    ip: failure.ip ?? report.path.ip,
    status: failure.enhanced,
    text: failure.text,
    reply: failure.reply,
    next: settlement.becomes === 'queued' ? settlement.due : null,
  };
}

function deliveredFate(to: string, { number, attempts }: ClaimedRecipient, report: DeliveryReport): RecipientFate {
  const outcome = report.outcomes.get(number);
  const path: AttemptPath = report.path;
  return {
    to,
    becomes: 'delivered',
    attempt: attempts,
    mx: path.mx,
    ip: path.ip,
    status: null,
    text: null,
    reply: outcome?.kind === 'delivered' ? outcome.reply : null,
    next: null,
  };
}

/** A notice went into the queue. */
export const noticeEvent = ({ kind, message }: MadeNotice, about: Claim, at: Instant): NoticeEvent => ({
  kind: 'notice',
  at,
  queueId: about.queueId,
  noticeId: message.envelope.queueId,
  notice: kind,
  to: mailboxText(message.recipients[0].mailbox),
});

/** An operator gave recipients up. */
export const givenUpEvent = (claim: Claim, settled: readonly RecipientSettlement[], at: Instant): GivenUpEvent => ({
  kind: 'given-up',
  at,
  queueId: claim.queueId,
  domain: claim.domain,
  to: settled.flatMap(({ number }) => {
    const claimed = claimedOf(claim, number);
    return claimed === undefined ? [] : [mailboxText(claimed.recipient.mailbox)];
  }),
});
