/**
 * Whether a reverse-path and a recipient may be taken: the one place that keeps the relay from being open (interface.md, section 3).
 * Restrictions beat permissions; every connector that matched applies.
 */
import { type Domain, isAddressLiteral, type Mailbox, type ReversePath } from '../domain/address.ts';
import { type DomainPattern, matchesDomain } from '../domain/connector.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { UntrustedReason } from '../domain/peer.ts';
import type { UserConfig } from '../domain/user.ts';
import type { ClientCertificate } from '../security/client-certificate-policy.ts';
import { grantsRelay, type MatchedConnector } from './inbound-connector-policy.ts';
import { maySendAs } from './sender-policy.ts';

/** Take it, or say why not. */
export type Acceptance = { readonly kind: 'accept' } | { readonly kind: 'refuse'; readonly reply: SmtpReply };

/** What the decision about a reverse-path depends on. */
export type SenderFacts = {
  readonly tls: boolean;
  /** What the peer's certificate proved; for the words of a refusal only, the connectors know whether it will do. */
  readonly certificate: ClientCertificate;
  readonly listener: { readonly requireTls: boolean; readonly auth: 'off' | 'optional' | 'required' };
  /** Who logged in. */
  readonly user: UserConfig | null;
  readonly reversePath: ReversePath;
  readonly connectors: readonly MatchedConnector[];
};

/** What the decision about a recipient depends on. */
export type RecipientFacts = {
  readonly recipient: Mailbox;
  readonly acceptedDomains: readonly DomainPattern[];
  readonly connectors: readonly MatchedConnector[];
  readonly user: UserConfig | null;
};

/** What a connector in test mode would have refused. */
export type WouldBlock = { readonly connector: string; readonly reply: SmtpReply };

const ACCEPT: Acceptance = { kind: 'accept' };
const refuse = (reply: SmtpReply): Acceptance => ({ kind: 'refuse', reply });
const reply = (code: number, enhanced: SmtpReply['enhanced'], text: string): SmtpReply => ({ code, enhanced, text });

const TLS_FOR_ALL = reply(530, '5.7.0', 'Must issue a STARTTLS command first');
const TLS_FOR_SENDER = reply(530, '5.7.10', 'TLS is required for mail from this sender');
const LOGIN_FOR_ALL = reply(530, '5.7.0', 'Authentication required');
const NOT_THE_USERS = reply(553, '5.7.1', 'You may not send from this address');
const NO_CERTIFICATE = reply(550, '5.7.51', 'Mail from this sender is accepted only with a client certificate');
const WRONG_CERTIFICATE = reply(550, '5.7.51', 'Your client certificate is not one that mail from this sender is accepted with');
const WRONG_ADDRESS = reply(550, '5.7.51', 'Mail from this sender is not accepted from your address');
const RELAYING_DENIED = reply(550, '5.7.1', 'Relaying denied');
const ADDRESS_LITERAL = reply(550, '5.1.2', 'Recipients at address literals are not accepted');

/** Ends of `Your client certificate …`. */
const UNTRUSTED: Readonly<Record<UntrustedReason, string>> = {
  'self-signed': 'is self-signed',
  'unknown-issuer': 'is not issued by an authority trusted here, or its intermediate certificates are missing',
  expired: 'has expired',
  'not-yet-valid': 'is not valid yet',
  revoked: 'is revoked',
  'wrong-purpose': 'is not made for TLS clients',
  'no-certificate': 'is missing',
  other: 'cannot be verified',
};

function certificateReply(certificate: ClientCertificate): SmtpReply {
  switch (certificate.kind) {
    case 'none':
      return NO_CERTIFICATE;
    case 'untrusted':
      return reply(550, '5.7.51', `Your client certificate ${UNTRUSTED[certificate.reason]}`);
    case 'verified':
      return WRONG_CERTIFICATE;
  }
}

/** What of these connectors' demands is not met; null where all are. TLS comes first: without it there is no certificate. */
function unmet(connectors: readonly MatchedConnector[], { tls, certificate }: SenderFacts): SmtpReply | null {
  if (!tls && connectors.some(({ connector }) => connector.require.tls || connector.require.certificates.length > 0))
    return TLS_FOR_SENDER;
  if (connectors.some((matched) => !matched.certificateAllowed)) return certificateReply(certificate);
  return connectors.some((matched) => !matched.addressAllowed) ? WRONG_ADDRESS : null;
}

/** Whether mail with this reverse-path may come over this session. The texts name the requirement, never the connector. */
export function decideSender(facts: SenderFacts): Acceptance {
  const { listener, tls, user } = facts;
  if (!tls && (listener.requireTls || listener.auth === 'required')) return refuse(TLS_FOR_ALL);
  if (listener.auth === 'required' && user === null) return refuse(LOGIN_FOR_ALL);
  const demand = unmet(
    facts.connectors.filter(({ connector }) => !connector.testMode),
    facts,
  );
  if (demand !== null) return refuse(demand);
  return user !== null && !maySendAs(user, facts.reversePath) ? refuse(NOT_THE_USERS) : ACCEPT;
}

/** What the connectors in test mode would have refused of mail that is taken, each by itself. */
export const wouldBlock = (facts: SenderFacts): readonly WouldBlock[] =>
  facts.connectors.flatMap((matched) => {
    const demand = matched.connector.testMode ? unmet([matched], facts) : null;
    return demand === null ? [] : [{ connector: matched.connector.name, reply: demand }];
  });

/** Whether this recipient may be taken. The local part is opaque: `%`, `!` and quotes in it are never routed on. */
export function decideRecipient(facts: RecipientFacts): Acceptance {
  const domain = facts.recipient.domain;
  const mayRelay = facts.user !== null || facts.connectors.some(grantsRelay);
  if (isAddressLiteral(domain)) return refuse(mayRelay ? ADDRESS_LITERAL : RELAYING_DENIED);
  if (mayRelay || facts.acceptedDomains.some((pattern) => matchesDomain(pattern, domain))) return ACCEPT;
  return refuse(RELAYING_DENIED);
}

/** The domain `postmaster` without one means: the first accepted domain that is no wildcard, else null (RFC 5321, section 4.5.1). */
export function postmasterDomain(acceptedDomains: readonly DomainPattern[]): Domain | null {
  for (const pattern of acceptedDomains) {
    if (pattern.kind === 'exact') return pattern.domain;
  }
  return null;
}
