/**
 * Why a MAIL or RCPT is refused here and now: the acceptance policy's word first, then what this relay can take at the moment.
 * Asks the spool's health and the peer's count; changes nothing but that count.
 */
import type { ReversePath } from '../domain/address.ts';
import type { Config, ListenerConfig } from '../domain/config.ts';
import type { Recipient } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { UserConfig } from '../domain/user.ts';
import type { ClientCertificate } from '../security/client-certificate-policy.ts';
import { decideRecipient, decideSender, postmasterDomain, type SenderFacts } from './acceptance-policy.ts';
import type { InboundContext } from './context.ts';
import { REPLIES, storeReply } from './reply-table.ts';
import type { RecipientCommand } from './smtp-parameters-format.ts';
import type { Transaction } from './transaction.ts';

/** The terms of a session as they stand at a command. */
export type SessionTerms = {
  readonly ip: string;
  readonly tls: boolean;
  readonly certificate: ClientCertificate;
  /** Who logged in. */
  readonly user: UserConfig | null;
  readonly listener: ListenerConfig;
  /** The session's snapshot. */
  readonly config: Config;
  readonly context: Pick<InboundContext, 'spool' | 'peers'>;
};

/** What the acceptance policy goes by. */
export const senderFacts = (
  { tls, certificate, user, listener }: SessionTerms,
  transaction: { readonly reversePath: ReversePath; readonly connectors: Transaction['connectors'] },
): SenderFacts => ({
  tls,
  certificate,
  user,
  listener,
  reversePath: transaction.reversePath,
  connectors: transaction.connectors,
});

/** Why this transaction may not begin, null where it may. Then it counts towards the address's messages of this minute. */
export function senderRefusal(terms: SessionTerms, transaction: Transaction, declaredSize: number | null): SmtpReply | null {
  const { limits } = terms.config;
  const decision = decideSender(senderFacts(terms, transaction));
  if (decision.kind === 'refuse') return decision.reply;
  if (transaction.requireTls && !terms.tls) return REPLIES.requireTlsNeedsTls;
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
export function recipientRefusal(terms: SessionTerms, transaction: Transaction, recipient: Recipient | null): SmtpReply | null {
  if (recipient === null) return REPLIES.noPostmaster;
  const { acceptedDomains, limits } = terms.config;
  const { connectors } = transaction;
  const decision = decideRecipient({ recipient: recipient.mailbox, acceptedDomains, connectors, user: terms.user });
  if (decision.kind === 'refuse') return decision.reply;
  const full = transaction.recipients.length >= limits.recipientsPerMessage && !transaction.has(recipient);
  return full ? REPLIES.tooManyRecipients : null;
}
