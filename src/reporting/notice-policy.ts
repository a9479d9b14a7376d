/**
 * Who is told what about a message: which notices an attempt calls for. Decides only; dsn-format.ts renders.
 * RFC 3461, sections 4.1 and 5.2; RFC 5321, section 6.1: a notice never answers the null reverse-path.
 */
import { type Instant, isNonEmpty, type NonEmpty } from '../domain/basics.ts';
import type { Envelope, NotifyOn, Recipient } from '../domain/envelope.ts';
import type { DeliveryFailure, DeliveryOutcome, SmtpReply } from '../domain/outcome.ts';
import type { Claim, ClaimedRecipient, RecipientSettlement } from '../domain/queue.ts';

/** A recipient a notice reports as failed or delayed. */
export type TroubledRecipient = {
  readonly recipient: Recipient;
  readonly failure: DeliveryFailure;
  readonly attempts: number;
  /** Given up because the time was over, not because of the last answer. */
  readonly expired: boolean;
};

/** A recipient that was handed to a server without DSN (RFC 3461, section 5.2.2: action `relayed`). */
export type RelayedRecipient = {
  readonly recipient: Recipient;
  readonly reply: SmtpReply;
  readonly mx: string | null;
  readonly ip: string | null;
};

/** One notice to the sender, about at least one recipient. */
export type Notice =
  | { readonly kind: 'failure'; readonly recipients: NonEmpty<TroubledRecipient> }
  | { readonly kind: 'delay'; readonly recipients: NonEmpty<TroubledRecipient>; readonly willRetryUntil: Instant }
  | { readonly kind: 'success'; readonly recipients: NonEmpty<RelayedRecipient> };

/** What an attempt, or an operator, made of a claim. */
export type NoticeFacts = {
  readonly claim: Claim;
  readonly settled: readonly RecipientSettlement[];
  /** By recipient number; empty where an operator ended the message. */
  readonly outcomes: ReadonlyMap<number, DeliveryOutcome>;
  readonly mx: string | null;
  readonly ip: string | null;
  /** When the queue gives up on this message. */
  readonly willRetryUntil: Instant;
};

/** True where this sender may be told about that event of this recipient. */
export function mayNotify(event: NotifyOn, envelope: Envelope, recipient: Recipient): boolean {
  if (envelope.reversePath === null || envelope.origin.kind !== 'smtp') return false;
  return recipient.notify === null ? event !== 'success' : recipient.notify.includes(event);
}

/** Recipients sorted by the notice they belong to. */
type Sorted = {
  readonly failed: TroubledRecipient[];
  readonly delayed: TroubledRecipient[];
  readonly relayed: RelayedRecipient[];
};

function sortRecipient(claimed: ClaimedRecipient, settlement: RecipientSettlement, facts: NoticeFacts): Partial<Sorted> {
  const { recipient, attempts } = claimed;
  const tell = (event: NotifyOn): boolean => mayNotify(event, facts.claim.envelope, recipient);
  switch (settlement.becomes) {
    case 'bounced':
    case 'expired': {
      const expired = settlement.becomes === 'expired';
      return tell('failure') ? { failed: [{ recipient, failure: settlement.failure, attempts, expired }] } : {};
    }
    case 'queued': {
      const due = settlement.delayNoticeSent && !claimed.delayNoticeSent;
      return due && tell('delay') ? { delayed: [{ recipient, failure: settlement.failure, attempts, expired: false }] } : {};
    }
    case 'delivered': {
      const outcome = facts.outcomes.get(settlement.number);
      if (outcome?.kind !== 'delivered' || outcome.relayedDsn || !tell('success')) return {};
      return { relayed: [{ recipient, reply: outcome.reply, mx: facts.mx, ip: facts.ip }] };
    }
  }
}

/** The usual case, found out without looking further: all delivered, and no one asked to hear of that. */
const isSilent = ({ claim, settled }: NoticeFacts): boolean =>
  settled.every(({ becomes }) => becomes === 'delivered') && claim.recipients.every(({ recipient }) => recipient.notify === null);

/**
 * The notices due for a claim, at most one of each kind. A delay notice is due where the settlement sets `delayNoticeSent`
 * for the first time, so it is sent once.
 */
export function planNotices(facts: NoticeFacts): readonly Notice[] {
  const { envelope, recipients } = facts.claim;
  if (envelope.reversePath === null || envelope.origin.kind !== 'smtp' || isSilent(facts)) return [];
  const sorted: Sorted = { failed: [], delayed: [], relayed: [] };
  const byNumber = new Map(recipients.map((claimed) => [claimed.number, claimed]));
  for (const settlement of facts.settled) {
    const claimed = byNumber.get(settlement.number);
    if (claimed === undefined) continue;
    const { failed = [], delayed = [], relayed = [] } = sortRecipient(claimed, settlement, facts);
    sorted.failed.push(...failed);
    sorted.delayed.push(...delayed);
    sorted.relayed.push(...relayed);
  }
  const { failed, delayed, relayed } = sorted;
  const notices: Notice[] = [];
  if (isNonEmpty(failed)) notices.push({ kind: 'failure', recipients: failed });
  if (isNonEmpty(delayed)) notices.push({ kind: 'delay', recipients: delayed, willRetryUntil: facts.willRetryUntil });
  if (isNonEmpty(relayed)) notices.push({ kind: 'success', recipients: relayed });
  return notices;
}
