/**
 * The DNS port. Types only. Names are canonical (A-label, lower case); answers keep SERVFAIL, NXDOMAIN and bogus apart.
 */
import type { DnsAnswer, MxRecord } from '../domain/dns.ts';
import type { TlsaRecord } from '../domain/peer.ts';

/** Looks up records, from its cache while they live. Never rejects: what goes wrong is a case of the answer. */
export type Resolver = {
  mx(name: string, signal: AbortSignal): Promise<DnsAnswer<MxRecord>>;
  /** IPv4 addresses in text form. */
  a(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** IPv6 addresses in text form. */
  aaaa(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** The strings of one record joined; one octet is one character. */
  txt(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  /** Of the whole name, `_25._tcp.mx.example.org`. */
  tlsa(name: string, signal: AbortSignal): Promise<DnsAnswer<TlsaRecord>>;
  /** The CNAME of the name itself, not followed: is an alias secure whose target is not? */
  cname(name: string, signal: AbortSignal): Promise<DnsAnswer<string>>;
  close(): void;
};
