/**
 * Why a MAIL or RCPT is refused here and now: the acceptance policy's word first, then what this relay can take at the moment.
 * Asks the spool's health and the peer's count; changes nothing but that count.
 */
import type { Config, ListenerConfig } from '../domain/config.ts';
import type { Recipient } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import { decideRecipient, decideSender, postmasterDomain } from './acceptance-policy.ts';
import type { InboundContext } from './context.ts';
import { REPLIES, storeReply } from './reply-table.ts';
import type { RecipientCommand } from './smtp-parameters-format.ts';
import type { Transaction } from './transaction.ts';

/** The terms of a session as they stand at a command. */
export type SessionTerms = {
  readonly ip: string;
  readonly tls: boolean;
  readonly listener: ListenerConfig;
  /** The session's snapshot. */
  readonly config: Config;
  readonly context: Pick<InboundContext, 'spool' | 'peers'>;
};

/** Why this transaction may not begin, null where it may. Then it counts towards the address's messages of this minute. */
export function senderRefusal(terms: SessionTerms, transaction: Transaction, declaredSize: number | null): SmtpReply | null {
  const { limits } = terms.config;
  const facts = { tls: terms.tls, listenerRequiresTls: terms.listener.requireTls, connectors: transaction.connectors };
  const decision = decideSender(facts);
  if (decision.kind === 'refuse') return decision.reply;
  if (declaredSize !== null && declaredSize > limits.messageSizeBytes) return REPLIES.tooLarge;
  const health = terms.context.spool.health();
  if (!health.writable || health.low) return health.problem === null ? REPLIES.noSpace : storeReply(health.problem);
  return terms.context.peers.mayStartMessage(terms.ip, limits) ? null : REPLIES.tooManyMessages;
}

/** The recipient a command names. Null: postmaster without a domain, where no accepted domain is ours by name. */
export function namedRecipient(config: Config, command: RecipientCommand): Recipient | null {
  const { mailbox, notify, originalRecipient } = command;
  if (mailbox !== 'postmaster') return { mailbox, notify, originalRecipient };
  const domain = postmasterDomain(config.acceptedDomains);
  return domain === null ? null : { mailbox: { localPart: 'postmaster', domain }, notify, originalRecipient };
}

/** Why this recipient is not taken, null where it is. */
export function recipientRefusal(config: Config, transaction: Transaction, recipient: Recipient | null): SmtpReply | null {
  if (recipient === null) return REPLIES.noPostmaster;
  const { acceptedDomains, limits } = config;
  const decision = decideRecipient({ recipient: recipient.mailbox, acceptedDomains, connectors: transaction.connectors });
  if (decision.kind === 'refuse') return decision.reply;
  const full = transaction.recipients.length >= limits.recipientsPerMessage && !transaction.has(recipient);
  return full ? REPLIES.tooManyRecipients : null;
}
