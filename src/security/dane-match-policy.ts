/**
 * Whether a presented chain matches TLSA records. RFC 6698, section 2.1; RFC 7671, section 5; RFC 7672, section 3.
 * DANE-EE ignores names and dates; DANE-TA checks both. Only usable records come in here.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import type { Instant } from '../domain/basics.ts';
import { type IdentityFailure, namePatternText, type PeerRequirement, type TlsaRecord } from '../domain/peer.ts';
import { dnsNames, satisfies } from './certificate-names-format.ts';
import { spkiDer } from './spki-format.ts';

type DaneRequirement = Extract<PeerRequirement, { kind: 'dane' }>;

const DANE_TA = 2;
const DANE_EE = 3;
/** A chain longer than this proves nothing but patience. */
const MAX_CHAIN = 10;

/** True where the certificate is the one (or has the key) the record names. */
export function matchesRecord(record: TlsaRecord, certificate: X509Certificate): boolean {
  const content = record.selector === 0 ? certificate.raw : spkiDer(certificate);
  switch (record.matchingType) {
    case 0:
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
    if (record.usage !== DANE_TA) continue;
    const anchor = chain.findIndex((certificate) => matchesRecord(record, certificate));
    if (anchor === -1 || !isSignedUpTo(chain, anchor)) continue;
    const failure = judgeAnchored(chain.slice(0, anchor + 1), names, now);
    if (failure === null) return null;
    near ??= failure;
  }
  return near ?? { kind: 'dane-mismatch' };
}

/** Each certificate below the anchor is issued and signed by the next one. */
const isSignedUpTo = (chain: readonly X509Certificate[], anchor: number): boolean =>
  chain.slice(0, anchor).every((certificate, at) => {
    const issuer = chain[at + 1];
    return issuer?.ca === true && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  });

function judgeAnchored(chain: readonly X509Certificate[], names: DaneRequirement['names'], now: Instant): IdentityFailure | null {
  for (const certificate of chain) {
    const notAfter = Date.parse(certificate.validTo);
    if (now > notAfter) return { kind: 'dane-expired', notAfter: notAfter as Instant };
    if (now < Date.parse(certificate.validFrom)) return { kind: 'untrusted', reason: 'not-yet-valid' };
  }
  const leaf = chain[0];
  const presented = leaf === undefined ? [] : dnsNames(leaf);
  const named = names.some((domain) => presented.some((have) => satisfies(have, { kind: 'exact', domain })));
  return named ? null : { kind: 'dane-name-mismatch', presented: presented.slice(0, 20).map(namePatternText) };
}
