/**
 * Whether a reverse-path and a recipient may be taken: the one place that keeps the relay from being open (interface.md, section 3).
 * Restrictions beat permissions; every connector that matched applies.
 */
import { type Domain, isAddressLiteral, type Mailbox } from '../domain/address.ts';
import { type DomainPattern, matchesDomain } from '../domain/connector.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import { grantsRelay, type MatchedConnector } from './inbound-connector-policy.ts';

/** Take it, or say why not. */
export type Acceptance = { readonly kind: 'accept' } | { readonly kind: 'refuse'; readonly reply: SmtpReply };

/** What the decision about a reverse-path depends on. */
export type SenderFacts = {
  readonly tls: boolean;
  /** The listener wants TLS from everyone. */
  readonly listenerRequiresTls: boolean;
  readonly connectors: readonly MatchedConnector[];
};

/** What the decision about a recipient depends on. */
export type RecipientFacts = {
  readonly recipient: Mailbox;
  readonly acceptedDomains: readonly DomainPattern[];
  readonly connectors: readonly MatchedConnector[];
};

const ACCEPT: Acceptance = { kind: 'accept' };
const refuse = (code: number, enhanced: SmtpReply['enhanced'], text: string): Acceptance => ({
  kind: 'refuse',
  reply: { code, enhanced, text },
});

const TLS_FOR_ALL = refuse(530, '5.7.0', 'Must issue a STARTTLS command first');
const TLS_FOR_SENDER = refuse(530, '5.7.10', 'TLS is required for mail from this sender');
const WRONG_ADDRESS = refuse(550, '5.7.51', 'Mail from this sender is not accepted from your address');
const RELAYING_DENIED = refuse(550, '5.7.1', 'Relaying denied');
const ADDRESS_LITERAL = refuse(550, '5.1.2', 'Recipients at address literals are not accepted');

/** Whether mail with this reverse-path may come over this session. The texts name the requirement, never the connector. */
export function decideSender(facts: SenderFacts): Acceptance {
  if (facts.listenerRequiresTls && !facts.tls) return TLS_FOR_ALL;
  if (!facts.tls && facts.connectors.some((matched) => matched.connector.require.tls)) return TLS_FOR_SENDER;
  if (facts.connectors.some((matched) => !matched.addressAllowed)) return WRONG_ADDRESS;
  return ACCEPT;
}

/** Whether this recipient may be taken. The local part is opaque: `%`, `!` and quotes in it are never routed on. */
export function decideRecipient(facts: RecipientFacts): Acceptance {
  const domain = facts.recipient.domain;
  const mayRelay = facts.connectors.some(grantsRelay);
  if (isAddressLiteral(domain)) return mayRelay ? ADDRESS_LITERAL : RELAYING_DENIED;
  if (mayRelay || facts.acceptedDomains.some((pattern) => matchesDomain(pattern, domain))) return ACCEPT;
  return RELAYING_DENIED;
}

/** The domain `postmaster` without one means: the first accepted domain that is no wildcard, else null (RFC 5321, section 4.5.1). */
export function postmasterDomain(acceptedDomains: readonly DomainPattern[]): Domain | null {
  for (const pattern of acceptedDomains) {
    if (pattern.kind === 'exact') return pattern.domain;
  }
  return null;
}
