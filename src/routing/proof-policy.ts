/**
 * How far DNSSEC vouches for a host: for its name, for its addresses, and which names it may go by. DANE and REQUIRETLS build on it.
 * RFC 7672, sections 2.2 and 3.2.2. Pure.
 */
import { type Domain, parseDomain } from '../domain/address.ts';
import type { DnsAnswer, MxRecord } from '../domain/dns.ts';

/** How a host's name was come by. */
export type NameProof = {
  /** The MX records (or that there are none) are secure, or the operator named the host. */
  readonly mxSecure: boolean;
  /** The domain whose mail goes there, and what its CNAMEs led to; the host's own name where the operator named it. */
  readonly nextHopNames: readonly Domain[];
};

/** How a host's addresses were come by. */
export type AddressProof = {
  /** The address records are secure, CNAMEs on the way included. */
  readonly addressesSecure: boolean;
  /** Where its CNAMEs led; its own name where it has none; null where an address was given, or the end is no host name. */
  readonly canonicalName: Domain | null;
};

/** Everything DNSSEC says of a host. */
export type HostProof = NameProof & AddressProof;

/** Of an address that was given itself. */
export const ADDRESS_GIVEN: HostProof = { mxSecure: false, nextHopNames: [], addressesSecure: false, canonicalName: null };

/** Of a host that the operator named: his word needs no proof. */
export const namedByOperator = (name: Domain): NameProof => ({ mxSecure: true, nextHopNames: [name] });

/** Of the hosts of a domain, by the answer to its MX question. */
export function mxProof(domain: Domain, answer: DnsAnswer<MxRecord>): NameProof {
  const end = answer.kind === 'records' ? parseDomain(answer.canonicalName) : null;
  const mxSecure = (answer.kind === 'records' || answer.kind === 'absent') && answer.secure;
  return { mxSecure, nextHopNames: end === null || end === domain ? [domain] : [domain, end] };
}

/**
 * Of a host's addresses. One family secure proves the zone signed, so that TLSA may be asked for there; that the other one failed,
 * or is insecure, takes nothing back.
 */
export function addressProof(answers: readonly DnsAnswer<string>[]): AddressProof {
  const found = answers.filter((answer) => answer.kind === 'records');
  const best = found.find(({ secure }) => secure) ?? found[0];
  if (best === undefined) return { addressesSecure: false, canonicalName: null };
  return { addressesSecure: best.secure, canonicalName: parseDomain(best.canonicalName) };
}
