/**
 * Whether a peer is who it must be: judged once, after the handshake and before MAIL, on the certificates of this very session.
 * interface.md, section 4; RFC 9525; RFC 7672, sections 3.1 and 3.2.
 */
import type { X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import {
  type IdentityFailure,
  type NamePattern,
  namePatternText,
  type PeerRequirement,
  type SpkiHash,
  type UntrustedReason,
} from '../domain/peer.ts';
import { dnsNames, satisfies } from './certificate-names-format.ts';
import { matchDane } from './dane-match-policy.ts';
import { spkiHash } from './spki-format.ts';

/** What a peer showed. `chain` is leaf first; empty where the session was resumed or no certificate came. */
export type PresentedPeer = {
  readonly chain: readonly X509Certificate[];
  /** OpenSSL's verdict on the chain against the trust anchors of the connection, names left aside. */
  readonly verdict: { readonly kind: 'trusted' } | { readonly kind: 'untrusted'; readonly reason: UntrustedReason };
  readonly offersRequireTls: boolean;
};

/** The first requirement the peer does not meet, or null where it meets all. */
export function judgePeer(requirements: readonly PeerRequirement[], peer: PresentedPeer, now: Instant): IdentityFailure | null {
  for (const requirement of requirements) {
    const failure = judgeOne(requirement, peer, now);
    if (failure !== null) return failure;
  }
  return null;
}

function judgeOne(requirement: PeerRequirement, peer: PresentedPeer, now: Instant): IdentityFailure | null {
  if (requirement.kind === 'offers-requiretls') return peer.offersRequireTls ? null : { kind: 'no-requiretls' };
  const leaf = peer.chain[0];
  if (leaf === undefined) return { kind: 'untrusted', reason: 'no-certificate' };
  switch (requirement.kind) {
    case 'trusted':
      return judgeTrust(peer);
    case 'name':
      return judgeTrust(peer) ?? judgeName(leaf, requirement.names);
    case 'pin':
      return requirement.keys.includes(spkiHash(leaf) as SpkiHash) ? null : { kind: 'pin-mismatch' };
    case 'dane':
      return matchDane(requirement, peer.chain, now);
  }
}

const judgeTrust = ({ verdict }: PresentedPeer): IdentityFailure | null => (verdict.kind === 'trusted' ? null : verdict);

function judgeName(leaf: X509Certificate, wanted: readonly NamePattern[]): IdentityFailure | null {
  const presented = dnsNames(leaf);
  if (wanted.some((want) => presented.some((have) => satisfies(have, want)))) return null;
  return { kind: 'name-mismatch', wanted: wanted.map(namePatternText), presented: presented.slice(0, 20).map(namePatternText) };
}
