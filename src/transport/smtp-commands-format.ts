/**
 * The envelope's commands as they go on the wire, with the parameters this peer understands.
 * RFC 5321, 4.1.1.2-3; RFC 1870; RFC 6152; RFC 6531; RFC 3461, section 4.
 */
import { mailboxText, reversePathText } from '../domain/address.ts';
import type { Envelope } from '../domain/envelope.ts';
import type { ClaimedRecipient } from '../domain/queue.ts';

type Extensions = ReadonlyMap<string, string>;

const NOT_ASCII = /[^\x00-\x7f]/;
const CONTROLS = /[\x00-\x1f\x7f]/;

/** True where the message can only travel with SMTPUTF8: an address or, as far as we can tell, a header outside ASCII. */
export const needsSmtpUtf8 = (envelope: Envelope, recipients: readonly ClaimedRecipient[]): boolean =>
  envelope.smtpUtf8 &&
  (envelope.eightBit ||
    NOT_ASCII.test(reversePathText(envelope.reversePath)) ||
    recipients.some(({ recipient }) => NOT_ASCII.test(recipient.mailbox.localPart)));

/** The MAIL command without its line end. */
export function mailCommand(envelope: Envelope, recipients: readonly ClaimedRecipient[], extensions: Extensions): string {
  let line = `MAIL FROM:<${reversePathText(envelope.reversePath)}>`;
  if (extensions.has('SIZE')) line += ` SIZE=${envelope.sizeBytes}`;
  if (envelope.eightBit && extensions.has('8BITMIME')) line += ' BODY=8BITMIME';
  if (envelope.smtpUtf8 && extensions.has('SMTPUTF8') && needsSmtpUtf8(envelope, recipients)) line += ' SMTPUTF8';
  if (envelope.requireTls && extensions.has('REQUIRETLS')) line += ' REQUIRETLS';
  if (extensions.has('DSN')) {
    if (envelope.dsn.return !== null) line += ` RET=${envelope.dsn.return === 'full' ? 'FULL' : 'HDRS'}`;
    if (envelope.dsn.envelopeId !== null) line += ` ENVID=${envelope.dsn.envelopeId}`;
  }
  return line;
}

/** The RCPT command without its line end. */
export function rcptCommand({ recipient }: ClaimedRecipient, extensions: Extensions): string {
  const line = `RCPT TO:<${mailboxText(recipient.mailbox)}>`;
  if (!extensions.has('DSN')) return line;
  const notify =
    recipient.notify === null
      ? ''
      : ` NOTIFY=${recipient.notify.length === 0 ? 'NEVER' : recipient.notify.join(',').toUpperCase()}`;
  const original = recipient.originalRecipient === null ? '' : ` ORCPT=${recipient.originalRecipient}`;
  return line + notify + original;
}

/** The last line of defence against a line break in a command (security-relevant: it would be a command of its own). */
export const isCleanCommand = (line: string): boolean => !CONTROLS.test(line);
