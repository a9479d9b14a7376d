/**
 * Which inbound connectors apply to a peer and a reverse-path. A connector's kinds of match are alternatives: any one makes it apply.
 * A match by sender domain restricts only: the reverse-path is whatever the client says, so it never grants anything.
 */
import type { ReversePath } from '../domain/address.ts';
import { type DomainPattern, type InboundConnector, matchesDomain } from '../domain/connector.ts';
import { inRanges } from './address-range-policy.ts';

/** What a peer's address settles about one connector, found once a session. */
export type PeerConnector = {
  readonly connector: InboundConnector;
  /** The peer's address is in `match.addresses`. */
  readonly byAddress: boolean;
  /** The peer's address is in `require.addresses`, or none is required. */
  readonly addressAllowed: boolean;
};

/** A connector that applies to a transaction. */
export type MatchedConnector = PeerConnector & {
  /** The strongest evidence that matched. */
  readonly by: 'address' | 'sender';
};

/** The enabled connectors as seen from one address. */
export const connectorsAtPeer = (connectors: readonly InboundConnector[], address: string): readonly PeerConnector[] =>
  connectors
    .filter((connector) => connector.enabled)
    .map((connector) => ({
      connector,
      byAddress: inRanges(address, connector.match.addresses),
      addressAllowed: connector.require.addresses.length === 0 || inRanges(address, connector.require.addresses),
    }));

/** `*` covers the null reverse-path, too: what restricts everyone must not be escaped by sending as no one. */
function coversSender(patterns: readonly DomainPattern[], reversePath: ReversePath): boolean {
  return patterns.some((pattern) => (reversePath === null ? pattern.kind === 'any' : matchesDomain(pattern, reversePath.domain)));
}

/** All connectors that apply, those found by address before those found by reverse-path. */
export function matchConnectors(peer: readonly PeerConnector[], reversePath: ReversePath): readonly MatchedConnector[] {
  if (peer.length === 0) return [];
  const byAddress = peer.filter((one) => one.byAddress).map((one) => ({ ...one, by: 'address' as const }));
  const bySender = peer
    .filter((one) => !one.byAddress && coversSender(one.connector.match.senderDomains, reversePath))
    .map((one) => ({ ...one, by: 'sender' as const }));
  return [...byAddress, ...bySender];
}

/**
 * True where a connector may relay for this peer: an organization's, proven by the peer's address, be it through `match.addresses`
 * or through a `require.addresses` that it satisfies.
 */
export const grantsRelay = (matched: MatchedConnector): boolean =>
  matched.connector.type === 'organization' &&
  matched.addressAllowed &&
  (matched.byAddress || matched.connector.require.addresses.length > 0);
