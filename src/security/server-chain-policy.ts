/**
 * Whether a chain whose leaf may serve as a TLS server's leads to the trust anchors. OpenSSL checks a client's chain for the clientAuth
 * usage only, and its verdict INVALID_PURPOSE hides an unknown or self-signed issuer: so here everything is checked anew, and whatever
 * this file does not understand (name constraints, unknown critical extensions) does not lead anywhere. RFC 5280, section 6.1.
 */
import type { X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import type { UntrustedReason } from '../domain/peer.ts';
import {
  DIGITAL_SIGNATURE,
  EXTENSION_IDS,
  extensionsOf,
  KEY_CERT_SIGN,
  type UsageLimits,
  usageLimits,
} from './certificate-extensions-format.ts';

/** Certificates that are trusted as they are, by subject. */
export type TrustAnchors = ReadonlyMap<string, readonly X509Certificate[]>;

/** What a chain is judged by. */
export type ChainFacts = {
  /** As the peer sent it, leaf first. */
  readonly chain: readonly X509Certificate[];
  readonly anchors: TrustAnchors;
  readonly now: Instant;
};

/** Certificates looked at, and between leaf and anchor: what is longer is no chain of a mail server. */
const MOST_CERTIFICATES = 10;
const DEEPEST = 6;

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_USAGE = '2.5.29.37.0';
const UNDERSTOOD: ReadonlySet<string> = new Set(Object.values(EXTENSION_IDS));
/** Constrains the names below it, critical or not. */
const NAME_CONSTRAINTS = '551d1e';
const WEAK_SIGNATURE = /md[245]|sha-?1(?!\d)/i;

/** The anchors, ready to be looked up. */
export function trustAnchors(certificates: readonly X509Certificate[]): TrustAnchors {
  const bySubject = new Map<string, X509Certificate[]>();
  for (const certificate of certificates) {
    const same = bySubject.get(certificate.subject) ?? [];
    same.push(certificate);
    bySubject.set(certificate.subject, same);
  }
  return bySubject;
}

/** Null where the chain leads to an anchor; else why not. */
export function judgeServerChain({ chain, anchors, now }: ChainFacts): UntrustedReason | null {
  const [leaf, ...others] = chain.slice(0, MOST_CERTIFICATES);
  if (leaf === undefined) return 'no-certificate';
  const wrong = judgeDates(leaf, now) ?? judgeLeaf(leaf);
  if (wrong !== null) return wrong;
  if (isAnchor(leaf, anchors)) return null;
  if (leaf.subject === leaf.issuer) return 'self-signed';
  let below = leaf;
  for (let depth = 0; depth <= DEEPEST; depth += 1) {
    const trusted = anchors.get(below.issuer)?.filter((anchor) => issued(below, anchor)) ?? [];
    if (trusted.length > 0) return trusted.some((anchor) => judgeIssuer(anchor, depth, now) === null) ? null : 'other';
    const next = others.find((candidate) => candidate !== below && issued(below, candidate));
    if (next === undefined) return 'unknown-issuer';
    const problem = judgeIssuer(next, depth, now);
    if (problem !== null) return problem;
    below = next;
  }
  return 'unknown-issuer';
}

const isAnchor = (certificate: X509Certificate, anchors: TrustAnchors): boolean =>
  anchors.get(certificate.subject)?.some((anchor) => anchor.raw.equals(certificate.raw)) ?? false;

/** Names, key identifiers and keyCertSign fit, the signature is sound, and made with a hash that still proves something. */
const issued = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) &&
  !WEAK_SIGNATURE.test(certificate.signatureAlgorithm ?? 'md5') &&
  certificate.verify(issuer.publicKey);

function judgeDates(certificate: X509Certificate, now: Instant): UntrustedReason | null {
  if (now < certificate.validFromDate.getTime()) return 'not-yet-valid';
  return now > certificate.validToDate.getTime() ? 'expired' : null;
}

/** The limits of a certificate all of whose demands are understood here, null for any other. */
function understood(certificate: X509Certificate): UsageLimits | null {
  const extensions = extensionsOf(certificate.raw);
  if (extensions === null || extensions.some(({ id }) => id === NAME_CONSTRAINTS)) return null;
  if (extensions.some(({ id, critical }) => critical && !UNDERSTOOD.has(id))) return null;
  return usageLimits(extensions);
}

/** Extended usages; none at all allow everything. */
const servesServers = (certificate: X509Certificate): boolean =>
  certificate.keyUsage === undefined || certificate.keyUsage.some((usage) => usage === SERVER_AUTH || usage === ANY_USAGE);

function judgeLeaf(leaf: X509Certificate): UntrustedReason | null {
  const limits = understood(leaf);
  if (limits === null) return 'other';
  const signs = limits.keyUsage === null || limits.keyUsage.has(DIGITAL_SIGNATURE);
  return signs && servesServers(leaf) ? null : 'wrong-purpose';
}

/** `below`: authorities between this one and the leaf. */
function judgeIssuer(issuer: X509Certificate, below: number, now: Instant): UntrustedReason | null {
  const limits = understood(issuer);
  if (limits === null || !limits.isAuthority) return 'other';
  if (limits.pathLength !== null && below > limits.pathLength) return 'other';
  if (limits.keyUsage !== null && !limits.keyUsage.has(KEY_CERT_SIGN)) return 'other';
  if (!servesServers(issuer)) return 'wrong-purpose';
  return judgeDates(issuer, now);
}
