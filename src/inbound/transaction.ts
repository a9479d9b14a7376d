/**
 * A mail transaction as the client builds it, from MAIL to the end of DATA. Made anew by every accepted MAIL, so that nothing of
 * a refused or finished one can leak into the next.
 */
import { mailboxText, type ReversePath } from '../domain/address.ts';
import type { Recipient } from '../domain/envelope.ts';
import type { MatchedConnector } from './inbound-connector-policy.ts';
import type { MailCommand } from './smtp-parameters-format.ts';

/** One transaction. */
export class Transaction {
  readonly reversePath: ReversePath;
  readonly smtpUtf8: boolean;
  readonly requireTls: boolean;
  readonly return: MailCommand['return'];
  readonly envelopeId: string | null;
  readonly connectors: readonly MatchedConnector[];
  /** RCPT commands that were refused. */
  refusedRecipients = 0;
  readonly #recipients: Recipient[] = [];
  readonly #known = new Set<string>();

  constructor(mail: MailCommand, connectors: readonly MatchedConnector[]) {
    this.reversePath = mail.reversePath;
    this.smtpUtf8 = mail.smtpUtf8;
    this.requireTls = mail.requireTls;
    this.return = mail.return;
    this.envelopeId = mail.envelopeId;
    this.connectors = connectors;
  }

  /** In the order given, each mailbox once. */
  get recipients(): readonly Recipient[] {
    return this.#recipients;
  }

  /** True where this mailbox is already in; local parts are compared as written (RFC 5321, section 2.4). */
  has(recipient: Recipient): boolean {
    return this.#known.has(mailboxText(recipient.mailbox));
  }

  /** Takes a recipient; one given twice counts as given first. */
  add(recipient: Recipient): void {
    if (this.has(recipient)) return;
    this.#known.add(mailboxText(recipient.mailbox));
    this.#recipients.push(recipient);
  }
}
