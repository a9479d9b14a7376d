/**
 * Words of identity: what a peer must prove about itself, and how it failed to. A failure here is never a reason to leave a rung.
 */
import type { Domain } from './address.ts';
import type { Branded, Instant, NonEmpty } from './basics.ts';

/** SHA-256 of a certificate's SubjectPublicKeyInfo, lower-case hex. */
export type SpkiHash = Branded<string, 'SpkiHash'>;

/** A name a certificate may carry: exactly this one, or one label below `domain` (`*.example.org`). */
export type NamePattern =
  | { readonly kind: 'exact'; readonly domain: Domain }
  | { readonly kind: 'one-below'; readonly domain: Domain };

/** A TLSA record (RFC 6698, section 2.1); `data` is lower-case hex. */
export type TlsaRecord = {
  readonly usage: number;
  readonly selector: number;
  readonly matchingType: number;
  readonly data: string;
};

/** One thing the peer must prove or offer; of a list all must hold. */
export type PeerRequirement =
  /** A chain to the trust anchors of the connection. */
  | { readonly kind: 'trusted' }
  /** That, and one of the names among the certificate's alternative names. */
  | { readonly kind: 'name'; readonly names: NonEmpty<NamePattern> }
  /** One of these keys; chain and dates do not count. */
  | { readonly kind: 'pin'; readonly keys: NonEmpty<SpkiHash> }
  /** One of the usable records; the names are those of RFC 7672, section 3.2.2. */
  | { readonly kind: 'dane'; readonly records: NonEmpty<TlsaRecord>; readonly names: NonEmpty<Domain> }
  /** REQUIRETLS among the EHLO keywords inside TLS (RFC 8689, section 4.2.1). */
  | { readonly kind: 'offers-requiretls' };

/** Why a chain does not lead to the trust anchors. */
export type UntrustedReason =
  | 'self-signed'
  | 'unknown-issuer'
  | 'expired'
  | 'not-yet-valid'
  | 'revoked'
  | 'wrong-purpose'
  | 'no-certificate'
  | 'other';

/** What a peer did not prove. `demand` is the requirement it failed. */
export type IdentityFailure =
  | { readonly kind: 'untrusted'; readonly reason: UntrustedReason }
  | { readonly kind: 'name-mismatch'; readonly wanted: readonly string[]; readonly presented: readonly string[] }
  | { readonly kind: 'pin-mismatch' }
  | { readonly kind: 'dane-mismatch' }
  | { readonly kind: 'dane-expired'; readonly notAfter: Instant }
  | { readonly kind: 'dane-name-mismatch'; readonly presented: readonly string[] }
  | { readonly kind: 'no-requiretls' };

/** The name as configuration and messages write it. */
export const namePatternText = (pattern: NamePattern): string =>
  pattern.kind === 'exact' ? pattern.domain : `*.${pattern.domain}`;
