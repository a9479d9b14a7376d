/**
 * Which TLSA records say something that an SMTP client can use. RFC 7672, section 3.1; RFC 7671, sections 4 and 9. Pure.
 */
import { createPublicKey, X509Certificate } from 'node:crypto';
import type { TlsaRecord } from '../domain/peer.ts';

/** Records of one host that are used. A zone that publishes more has gone astray; the rest is left out, always the same. */
export const MAX_TLSA_RECORDS = 64;

const DANE_TA = 2;
const DANE_EE = 3;
const FULL = 0;
/** Octets of a digest by matching type. */
const DIGEST_OCTETS: ReadonlyMap<number, number> = new Map([
  [1, 32],
  [2, 64],
]);

/**
 * The usable records, DANE-EE first, each once, in the same order whatever order they came in; weaker digests left out where the
 * zone has a stronger one (digest agility). Empty: none is usable.
 */
export function usableRecords(records: readonly TlsaRecord[]): readonly TlsaRecord[] {
  const usable = new Map(records.filter(isUsable).map((record) => [textOf(record), record]));
  const all = [...usable.values()];
  const strongest = all.filter((record) => isStrongest(record, all));
  return strongest.toSorted(byTrust).slice(0, MAX_TLSA_RECORDS);
}

/** PKIX-TA and PKIX-EE (0 and 1) are no way for SMTP (RFC 7672, section 3.1.3); data must be what the matching type says. */
function isUsable({ usage, selector, matchingType, data }: TlsaRecord): boolean {
  if (usage !== DANE_TA && usage !== DANE_EE) return false;
  if (selector !== 0 && selector !== 1) return false;
  if (matchingType === FULL) return isWellFormed(selector, Buffer.from(data, 'hex'));
  return data.length === (DIGEST_OCTETS.get(matchingType) ?? 0) * 2 && data.length > 0;
}

/** A whole certificate or key can be read as one. */
function isWellFormed(selector: number, der: Buffer): boolean {
  try {
    if (selector === 0) return new X509Certificate(der).raw.equals(der);
    return createPublicKey({ key: der, format: 'der', type: 'spki' }).type === 'public';
  } catch {
    return false;
  }
}

/** Among the digests of one usage and selector only the strongest counts; whole certificates always do (RFC 7671, section 9). */
const isStrongest = (record: TlsaRecord, all: readonly TlsaRecord[]): boolean =>
  record.matchingType === FULL ||
  !all.some(
    (other) => other.usage === record.usage && other.selector === record.selector && other.matchingType > record.matchingType,
  );

const textOf = ({ usage, selector, matchingType, data }: TlsaRecord): string => `${usage} ${selector} ${matchingType} ${data}`;

/** DANE-EE before DANE-TA: it needs neither names nor dates. */
const byTrust = (one: TlsaRecord, other: TlsaRecord): number => other.usage - one.usage || (textOf(one) < textOf(other) ? -1 : 1);
