/**
 * Which inbound connectors apply to a peer and a reverse-path. A connector's kinds of match are alternatives: any one makes it apply.
 * A match by sender domain restricts only: the reverse-path is whatever the client says, so it never grants anything.
 */
import type { ReversePath } from '../domain/address.ts';
import { type DomainPattern, type InboundConnector, matchesDomain } from '../domain/connector.ts';
import { type NamePattern, namePatternText } from '../domain/peer.ts';
import { type ClientCertificate, provenName } from '../security/client-certificate-policy.ts';
import { inRanges } from './address-range-policy.ts';

/** Who is at the other end of this very session. */
export type PeerIdentity = { readonly address: string; readonly certificate: ClientCertificate };

/** What a peer's certificate and address settle about one connector, found once for each handshake. */
export type PeerConnector = {
  readonly connector: InboundConnector;
  /** The peer's certificate has one of `match.certificates`. */
  readonly byCertificate: boolean;
  /** The peer's address is in `match.addresses`. */
  readonly byAddress: boolean;
  /** The peer's address is in `require.addresses`, or none is required. */
  readonly addressAllowed: boolean;
  /** The peer's certificate has one of `require.certificates`, or none is required. */
  readonly certificateAllowed: boolean;
};

/** A connector that applies to a transaction. */
export type MatchedConnector = PeerConnector & {
  /** The strongest evidence that matched. */
  readonly by: 'certificate' | 'address' | 'sender';
};

/** True where some connector in force cannot be judged without a client certificate: only then is one asked for. */
export const asksForCertificate = (connectors: readonly InboundConnector[]): boolean =>
  connectors.some(({ enabled, match, require }) => enabled && (match.certificates.length > 0 || require.certificates.length > 0));

const proves = (
  { acceptServerAuthOnly }: InboundConnector,
  names: readonly NamePattern[],
  { certificate }: PeerIdentity,
): boolean => names.length > 0 && provenName(certificate, { names, acceptServerAuthOnly }) !== null;

/** The enabled connectors as seen from one peer. */
export const connectorsAtPeer = (connectors: readonly InboundConnector[], peer: PeerIdentity): readonly PeerConnector[] =>
  connectors
    .filter((connector) => connector.enabled)
    .map((connector) => ({
      connector,
      byCertificate: proves(connector, connector.match.certificates, peer),
      byAddress: inRanges(peer.address, connector.match.addresses),
      addressAllowed: connector.require.addresses.length === 0 || inRanges(peer.address, connector.require.addresses),
      certificateAllowed: connector.require.certificates.length === 0 || proves(connector, connector.require.certificates, peer),
    }));

/**
 * The name to tell of a peer with a verified certificate: one that a connector knows, else its first; null where it proved none.
 * For log and trace only: connectors ask the certificate.
 */
export function verifiedName(connectors: readonly InboundConnector[], certificate: ClientCertificate): string | null {
  if (certificate.kind !== 'verified') return null;
  const demands = connectors
    .filter(({ enabled }) => enabled)
    .map(({ match, require, acceptServerAuthOnly }) => ({
      names: [...match.certificates, ...require.certificates],
      acceptServerAuthOnly,
    }));
  for (const demand of demands) {
    const name = provenName(certificate, demand);
    if (name !== null) return namePatternText(name);
  }
  const [first] = certificate.names;
  return first === undefined ? null : namePatternText(first);
}

/** `*` covers the null reverse-path, too: what restricts everyone must not be escaped by sending as no one. */
function coversSender(patterns: readonly DomainPattern[], reversePath: ReversePath): boolean {
  return patterns.some((pattern) => (reversePath === null ? pattern.kind === 'any' : matchesDomain(pattern, reversePath.domain)));
}

/** What a connector applies by; null where it does not. */
function evidence(one: PeerConnector, reversePath: ReversePath): MatchedConnector['by'] | null {
  if (one.byCertificate) return 'certificate';
  if (one.byAddress) return 'address';
  return coversSender(one.connector.match.senderDomains, reversePath) ? 'sender' : null;
}

const ORDER = ['certificate', 'address', 'sender'] as const;

/** All connectors that apply: those found by certificate first, then by address, then by reverse-path. */
export function matchConnectors(peer: readonly PeerConnector[], reversePath: ReversePath): readonly MatchedConnector[] {
  if (peer.length === 0) return [];
  const found = peer.flatMap((one) => {
    const by = evidence(one, reversePath);
    return by === null ? [] : [{ ...one, by }];
  });
  return ORDER.flatMap((by) => found.filter((matched) => matched.by === by));
}

/**
 * True where a connector may relay for this peer: an organization's, proven by the peer's certificate or address, be it through its
 * match or through a `require` that it satisfies. Test mode lets no one relay who would not be let otherwise.
 */
export const grantsRelay = (matched: MatchedConnector): boolean =>
  matched.connector.type === 'organization' &&
  matched.addressAllowed &&
  matched.certificateAllowed &&
  (matched.byCertificate ||
    matched.byAddress ||
    matched.connector.require.addresses.length > 0 ||
    matched.connector.require.certificates.length > 0);
