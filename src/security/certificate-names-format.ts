/**
 * The DNS names a certificate proves: alternative names only (RFC 9525, section 2: no common name), whole labels, `*` only as the
 * whole leftmost label. Reads what node:crypto prints of the extension, which quotes every value that could be mistaken for another.
 */
import type { X509Certificate } from 'node:crypto';
import type { Domain } from '../domain/address.ts';
import { type NamePattern, parseNamePattern } from '../domain/peer.ts';

const MAX_NAMES = 1000;

/**
 * The entries of `X509Certificate.subjectAltName`: `DNS:a, DNS:b, IP Address:…`; a value with a comma, quote or control stands as a
 * JSON string, so a reader that skips such strings whole cannot be fooled (CVE-2021-44532).
 */
function entries(text: string): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at < text.length && found.length < MAX_NAMES; ) {
    const match = /[^,"]*("(?:[^"\\]|\\.)*")?[^,]*(?:, |$)/y;
    match.lastIndex = at;
    const entry = match.exec(text);
    if (entry === null || entry[0].length === 0) break;
    found.push(entry[0].replace(/, $/, ''));
    at = match.lastIndex;
  }
  return found;
}

/** The DNS names of a leaf certificate, those that can be matched. */
export const dnsNames = (certificate: Pick<X509Certificate, 'subjectAltName'>): readonly NamePattern[] =>
  entries(certificate.subjectAltName ?? '')
    .filter((entry) => /^DNS:[a-z0-9*._-]+$/i.test(entry))
    .map((entry) => parseNamePattern(entry.slice(4)))
    .filter((pattern) => pattern !== null);

/** True where the certificate's name satisfies the wanted one; either side may speak for one label. */
export function satisfies(presented: NamePattern, wanted: NamePattern): boolean {
  if (presented.kind === wanted.kind) return presented.domain === wanted.domain;
  const [exact, below] = presented.kind === 'exact' ? [presented, wanted] : [wanted, presented];
  return isOneBelow(exact.domain, below.domain);
}

const isOneBelow = (name: Domain, parent: Domain): boolean =>
  name.endsWith(`.${parent}`) && !name.slice(0, -parent.length - 1).includes('.');
