/** Claims of a message at its acceptance, made from the caller's own objects: nothing is read back. Pure. */
import type { Domain } from '../domain/address.ts';
import { type Instant, isNonEmpty } from '../domain/basics.ts';
import type { Claim, ClaimedRecipient, NewMessage } from '../domain/queue.ts';

/** One claim per recipient domain in `domains` (null: all), in order of appearance: attempt 1, fence 1. */
export function bornClaims(message: NewMessage, leaseUntil: Instant, domains: readonly Domain[] | null): readonly Claim[] {
  const groups = new Map<Domain, ClaimedRecipient[]>();
  for (const [number, recipient] of message.recipients.entries()) {
    const { domain } = recipient.mailbox;
    const claimed = { number, recipient, attempts: 1, delayNoticeSent: false };
    const group = groups.get(domain);
    if (group !== undefined) group.push(claimed);
    else if (domains === null || domains.includes(domain)) groups.set(domain, [claimed]);
  }
  const { envelope, body } = message;
  return [...groups].flatMap(([domain, recipients]) =>
    isNonEmpty(recipients) ? [{ queueId: envelope.queueId, domain, fence: 1, leaseUntil, envelope, recipients, body }] : [],
  );
}
