/**
 * Words of identity: what a peer must prove about itself, and how it failed to. A failure here is never a reason to leave a rung.
 */
import { type Domain, isAddressLiteral, parseDomain } from './address.ts';
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

/** `mail.example.org` or `*.example.org` as a pattern; null where it is neither, or would speak for a whole registry. */
export function parseNamePattern(text: string): NamePattern | null {
  const below = text.startsWith('*.');
  const domain = parseDomain(below ? text.slice(2) : text);
  if (domain === null || isAddressLiteral(domain)) return null;
  if (below && !domain.includes('.')) return null;
  return { kind: below ? 'one-below' : 'exact', domain };
}

/** `sha256:…` in hex (colons allowed) or base64, as configuration writes pins; null where it is neither. */
export function parsePin(text: string): SpkiHash | null {
  const match = /^sha256:(.+)$/i.exec(text.trim());
  const value = match?.[1] ?? '';
  const hex = value.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex as SpkiHash;
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(value)) return null;
  return Buffer.from(value, 'base64').toString('hex') as SpkiHash;
}
