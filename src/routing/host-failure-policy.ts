/**
 * What it means that a destination has no host to go to: permanent or not, which code, in which words. Unknown is temporary.
 * RFC 3463; RFC 5321, section 5.1; RFC 7505, section 4. Pure.
 */
import type { DnsProblem } from '../domain/dns.ts';
import type { EnhancedStatusCode } from '../domain/outcome.ts';
import { ADDRESS_KIND_TEXT, type AddressKind } from './address-policy.ts';

/** Why there is no host; a part of the delivery failure that comes of it. */
export type HostFailure = { readonly permanent: boolean; readonly enhanced: EnhancedStatusCode; readonly text: string };

/** An address that was refused, and what it is. */
export type RefusedAddress = { readonly address: string; readonly kind: Exclude<AddressKind, 'public'> };

/** Why a destination has no host. */
export type HostProblem =
  | { readonly kind: 'null-mx' }
  | { readonly kind: 'no-domain' }
  /** Neither MX nor address records. */
  | { readonly kind: 'no-records' }
  /** MX records, but none names a host that could exist. */
  | { readonly kind: 'no-names' }
  /** Hosts, but none has an address. */
  | { readonly kind: 'no-addresses' }
  | { readonly kind: 'refused'; readonly example: RefusedAddress }
  | { readonly kind: 'loop' }
  | { readonly kind: 'bogus'; readonly name: string }
  | { readonly kind: 'unknown'; readonly name: string; readonly problem: DnsProblem };

const DNS_PROBLEM_TEXT: Readonly<Record<DnsProblem, string>> = {
  timeout: 'no name server answered in time',
  servfail: 'the name server could not find out',
  refused: 'the name server refused',
  malformed: 'the answer could not be read',
  unreachable: 'no name server could be reached',
  'cname-loop': 'its CNAME records lead nowhere',
};

const permanent = (enhanced: EnhancedStatusCode, text: string): HostFailure => ({ permanent: true, enhanced, text });
const temporary = (enhanced: EnhancedStatusCode, text: string): HostFailure => ({ permanent: false, enhanced, text });

/** The failure that mail for `domain` (or to a host of that name) meets. */
export function hostFailure(domain: string, problem: HostProblem): HostFailure {
  switch (problem.kind) {
    case 'null-mx':
      return permanent('5.1.10', `${domain} takes no mail (null MX)`);
    case 'no-domain':
      return permanent('5.1.2', `the domain ${domain} does not exist`);
    case 'no-records':
      return permanent('5.1.2', `${domain} has no mail server: neither MX nor address records`);
    case 'no-names':
      return permanent('5.4.4', `the MX records of ${domain} name no usable host`);
    case 'no-addresses':
      return permanent('5.4.4', `none of the mail hosts of ${domain} has an address`);
    case 'refused': {
      const { address, kind } = problem.example;
      return permanent('5.4.4', `${domain} has no mail host this relay connects to: ${address} is ${ADDRESS_KIND_TEXT[kind]}`);
    }
    case 'loop':
      return permanent('5.4.6', `mail for ${domain} would come back to this relay: the best mail host left is this relay itself`);
    case 'bogus':
      return temporary('4.7.324', `the DNS records of ${problem.name} fail DNSSEC validation`);
    case 'unknown':
      return temporary(
        '4.4.3',
        `the DNS records of ${problem.name} could not be looked up: ${DNS_PROBLEM_TEXT[problem.problem]}`,
      );
  }
}

/** The same failure where the operator named the hosts: a slip in the configuration or in its DNS must not bounce mail. */
export function smarthostFailure(connector: string, failure: HostFailure): HostFailure {
  const enhanced: EnhancedStatusCode = failure.permanent ? '4.4.4' : failure.enhanced;
  return temporary(enhanced, `no smarthost of connector ${connector} can be used: ${failure.text}`);
}
