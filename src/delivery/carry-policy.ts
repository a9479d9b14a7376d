/**
 * Whether a peer can carry a message as it is. What it cannot carry bounces: nothing is converted, nothing is sent wrong.
 * RFC 1870, section 6.2; RFC 6152, section 3; RFC 6531, section 3.6.
 */
import type { Envelope } from '../domain/envelope.ts';
import type { DeliveryFailure, EnhancedStatusCode } from '../domain/outcome.ts';
import type { ClaimedRecipient } from '../domain/queue.ts';
import type { SessionFacts } from '../transport/session.ts';
import { needsSmtpUtf8 } from '../transport/smtp-commands-format.ts';
import type { Where } from './failure-policy.ts';

/** Null where the peer can take it; else a permanent failure for all recipients. */
export function judgeCarrying(
  message: { readonly envelope: Envelope; readonly recipients: readonly ClaimedRecipient[] },
  facts: SessionFacts,
  where: Where,
): DeliveryFailure | null {
  const { envelope, recipients } = message;
  const cannot = (enhanced: EnhancedStatusCode, text: string): DeliveryFailure => ({
    permanent: true,
    enhanced,
    text: `${where.mx} [${where.ip}] ${text}`,
    reply: null,
    mx: where.mx,
    ip: where.ip,
  });
  if (facts.sizeLimit !== null && envelope.sizeBytes > facts.sizeLimit) {
    return cannot('5.3.4', `takes messages of at most ${facts.sizeLimit} octets; this one has ${envelope.sizeBytes}`);
  }
  if (needsSmtpUtf8(envelope, recipients) && !facts.extensions.has('SMTPUTF8')) {
    return cannot('5.6.7', 'does not offer SMTPUTF8, which the addresses or headers of this message need');
  }
  if (envelope.eightBit && !facts.extensions.has('8BITMIME')) {
    return cannot('5.6.3', 'does not offer 8BITMIME, and this message holds 8-bit content');
  }
  return null;
}
