/**
 * Whether a presented chain matches TLSA records. RFC 6698, section 2.1; RFC 7671, section 5; RFC 7672, section 3.
 * DANE-EE ignores names and dates; DANE-TA checks both. Only usable records come in here.
 */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import { type IdentityFailure, namePatternText, type PeerRequirement, type TlsaRecord } from '../domain/peer.ts';
import { dnsNames, satisfies } from './certificate-names-format.ts';
import { judgeServerChain, trustAnchors } from './server-chain-policy.ts';
import { spkiDer } from './spki-format.ts';

type DaneRequirement = Extract<PeerRequirement, { kind: 'dane' }>;

const DANE_TA = 2;
const DANE_EE = 3;
/** Matching type: the record holds the whole certificate or key. */
const FULL = 0;
/** A chain longer than this proves nothing but patience. */
const MAX_CHAIN = 10;

/** True where the certificate is the one (or has the key) the record names. */
export function matchesRecord(record: TlsaRecord, certificate: X509Certificate): boolean {
  const content = record.selector === 0 ? certificate.raw : spkiDer(certificate);
  switch (record.matchingType) {
    case FULL:
      return content.toString('hex') === record.data;
    case 1:
      return createHash('sha256').update(content).digest('hex') === record.data;
    case 2:
      return createHash('sha512').update(content).digest('hex') === record.data;
    default:
      return false;
  }
}

/** Null where one record matches. A match that fails only by date or name says so: that is what the peer's admin must mend. */
export function matchDane(
  { records, names }: DaneRequirement,
  presented: readonly X509Certificate[],
  now: Instant,
): IdentityFailure | null {
  const chain = presented.slice(0, MAX_CHAIN);
  const leaf = chain[0];
  if (leaf === undefined) return { kind: 'untrusted', reason: 'no-certificate' };
  if (records.some((record) => record.usage === DANE_EE && matchesRecord(record, leaf))) return null;
  let near: IdentityFailure | null = null;
  for (const record of records) {
    const anchors = record.usage === DANE_TA ? anchorsOf(record, chain) : [];
    if (anchors.length === 0) continue;
    const failure = judgeChain(chain, anchors, now) ?? judgeNames(leaf, names);
    if (failure === null) return null;
    if (failure.kind !== 'dane-mismatch') near ??= failure;
  }
  return near ?? { kind: 'dane-mismatch' };
}

/**
 * What the record vouches for: of the presented certificates those it names. A record that holds the whole anchor stands in for one
 * the peer did not send (RFC 7671, sections 5.2.2 and 5.2.3): the certificate itself, or whatever its key has signed.
 */
function anchorsOf(record: TlsaRecord, chain: readonly X509Certificate[]): readonly X509Certificate[] {
  const named = chain.filter((certificate) => matchesRecord(record, certificate));
  if (named.length > 0 || record.matchingType !== FULL) return named;
  const der = Buffer.from(record.data, 'hex');
  if (record.selector === 0) return [new X509Certificate(der)];
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return chain.filter((certificate) => certificate.verify(key));
}

/** Signatures, dates, usages and limits from the leaf up to one of the anchors. */
function judgeChain(
  chain: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: Instant,
): IdentityFailure | null {
  const reason = judgeServerChain({ chain, anchors: trustAnchors(anchors), now });
  switch (reason) {
    case null:
      return null;
    case 'self-signed':
    case 'unknown-issuer':
      return { kind: 'dane-mismatch' };
    case 'expired': {
      const ends = [...chain, ...anchors].map(({ validToDate }) => validToDate.getTime()).filter((end) => end < now);
      return { kind: 'dane-expired', notAfter: Math.min(...ends) as Instant };
    }
    case 'not-yet-valid':
    case 'revoked':
    case 'wrong-purpose':
    case 'no-certificate':
    case 'other':
      return { kind: 'untrusted', reason };
  }
}

function judgeNames(leaf: X509Certificate, names: DaneRequirement['names']): IdentityFailure | null {
  const presented = dnsNames(leaf);
  const named = names.some((domain) => presented.some((have) => satisfies(have, { kind: 'exact', domain })));
  return named ? null : { kind: 'dane-name-mismatch', presented: presented.slice(0, 20).map(namePatternText) };
}
