/**
 * The hosts of a destination and their order: preference, chance among equals, nothing at or behind ourselves. Pure; chance comes in.
 * RFC 5321, section 5.1; RFC 7505 (null MX); RFC 8305, section 4 (families by turns).
 */
import { isIP } from 'node:net';
import { type Domain, parseDomain } from '../domain/address.ts';
import { isNonEmpty, type NonEmpty, type Random } from '../domain/basics.ts';
import type { DnsAnswer, MxRecord } from '../domain/dns.ts';
import type { ConnectVerdict } from './address-policy.ts';
import type { HostProblem, RefusedAddress } from './host-failure-policy.ts';
import { ADDRESS_GIVEN, addressProof, type HostProof, type NameProof } from './proof-policy.ts';

/** Hosts of a destination that are looked at; the best ones. */
export const MAX_HOSTS = 20;
/** Addresses of one host that are used, both families together. */
export const MAX_ADDRESSES_PER_HOST = 5;

/** A host to look up. Hosts of equal `preference` (0 is the best, without gaps) stand in for each other. */
export type NamedHost = { readonly name: Domain; readonly preference: number };

/** What the MX records of a domain come to. */
export type MxVerdict =
  | {
      readonly kind: 'hosts';
      readonly hosts: readonly NamedHost[];
      readonly basis: HostBasis;
      readonly skipped: readonly SkippedHost[];
    }
  | { readonly kind: 'failed'; readonly problem: HostProblem };

/**
 * Where hosts come from: MX records, MX records of which this relay and all that are not better have been taken out, or the
 * domain itself because it has none.
 */
export type HostBasis = 'mx' | 'mx-above-own' | 'implicit';

/** An MX record that cannot be used. */
export type SkippedHost = { readonly exchange: string; readonly because: 'address' | 'bad-name' };

/** A host with its addresses. Name null: the address itself was given. */
export type ResolvedHost = HostProof & {
  readonly name: Domain | null;
  readonly port: number;
  readonly preference: number;
  readonly ipv6: readonly string[];
  readonly ipv4: readonly string[];
};

/** What became of one host. */
export type HostVerdict =
  | { readonly kind: 'usable'; readonly host: ResolvedHost }
  /** One of its addresses is ours. */
  | { readonly kind: 'own'; readonly preference: number }
  | { readonly kind: 'unusable'; readonly preference: number; readonly problem: HostProblem };

/** A host in the order to be tried, its addresses likewise. */
export type HostCandidate = HostProof & {
  /** Null where an address was given instead of a name. */
  readonly name: Domain | null;
  readonly port: number;
  readonly addresses: NonEmpty<string>;
  /** 0 is the most preferred; equal numbers are equally preferred. */
  readonly preference: number;
};

/** The hosts the MX lookup of a domain names, best first, at most MAX_HOSTS. Without MX records it is the domain itself. */
export function judgeMx(domain: Domain, answer: DnsAnswer<MxRecord>, isOwnName: (name: Domain) => boolean): MxVerdict {
  switch (answer.kind) {
    case 'records':
      return answer.records.length > 0 && answer.records.every(({ exchange }) => exchange === '')
        ? { kind: 'failed', problem: { kind: 'null-mx' } }
        : judgeRecords(answer.records, isOwnName);
    case 'absent':
      if (answer.nxdomain) return { kind: 'failed', problem: { kind: 'no-domain' } };
      return { kind: 'hosts', hosts: [{ name: domain, preference: 0 }], basis: 'implicit', skipped: [] };
    case 'bogus':
      return { kind: 'failed', problem: { kind: 'bogus', name: domain } };
    case 'unknown':
      return { kind: 'failed', problem: { kind: 'unknown', name: domain, problem: answer.problem } };
  }
}

function judgeRecords(records: readonly MxRecord[], isOwnName: (name: Domain) => boolean): MxVerdict {
  const skipped: SkippedHost[] = [];
  const best = new Map<Domain, number>();
  for (const { exchange, preference } of records.toSorted((one, other) => one.preference - other.preference)) {
    const name = parseDomain(exchange);
    if (name === null) skipped.push({ exchange, because: isIP(exchange) === 0 ? 'bad-name' : 'address' });
    else if (!best.has(name)) best.set(name, preference);
  }
  const ownPreference = [...best].find(([name]) => isOwnName(name))?.[1] ?? null;
  const left = [...best].filter(([, preference]) => ownPreference === null || preference < ownPreference);
  if (left.length === 0) return { kind: 'failed', problem: { kind: ownPreference === null ? 'no-names' : 'loop' } };
  const ranks = [...new Set(left.map(([, preference]) => preference))];
  const hosts = left.map(([name, preference]) => ({ name, preference: ranks.indexOf(preference) }));
  const basis = ownPreference === null ? 'mx' : 'mx-above-own';
  return { kind: 'hosts', hosts: hosts.slice(0, MAX_HOSTS), basis, skipped };
}

/** What decides about an address of a host. */
export type AddressRules = { isOwn(address: string): boolean; mayConnect(address: string): ConnectVerdict };

/** What was found of a host; `aaaa` is null where IPv6 is not used. */
export type FoundAddresses = { readonly a: DnsAnswer<string>; readonly aaaa: DnsAnswer<string> | null };

/** A host whose addresses were looked up. */
export type HostToJudge = NamedHost & NameProof & { readonly port: number };

/** What becomes of a host with these addresses. One family's failure does not hide what the other has. */
export function judgeHost(host: HostToJudge, found: FoundAddresses, rules: AddressRules): HostVerdict {
  const { name, preference } = host;
  const answers = found.aaaa === null ? [found.a] : [found.a, found.aaaa];
  const all = answers.flatMap((answer) => (answer.kind === 'records' ? answer.records : []));
  if (all.some((address) => rules.isOwn(address))) return { kind: 'own', preference };
  const refused: RefusedAddress[] = [];
  const allowed = all.filter((address) => {
    const verdict = rules.mayConnect(address);
    if (!verdict.ok) refused.push({ address, kind: verdict.kind });
    return verdict.ok;
  });
  if (allowed.length > 0) {
    const [ipv6, ipv4] = [allowed.filter((address) => isIP(address) === 6), allowed.filter((address) => isIP(address) === 4)];
    return { kind: 'usable', host: { ...host, ...addressProof(answers), ipv6, ipv4 } };
  }
  const [example] = refused;
  const problem = example === undefined ? addressProblem(name, answers) : ({ kind: 'refused', example } as const);
  return { kind: 'unusable', preference, problem };
}

/** What becomes of an address that was named itself. */
export function judgeAddress(address: string, port: number, rules: AddressRules): HostVerdict {
  if (rules.isOwn(address)) return { kind: 'own', preference: 0 };
  const verdict = rules.mayConnect(address);
  if (!verdict.ok)
    return { kind: 'unusable', preference: 0, problem: { kind: 'refused', example: { address, kind: verdict.kind } } };
  const families = isIP(address) === 6 ? { ipv6: [address], ipv4: [] } : { ipv6: [], ipv4: [address] };
  return { kind: 'usable', host: { ...ADDRESS_GIVEN, name: null, port, preference: 0, ...families } };
}

/** Why a host has no address: not known before known to have none. */
function addressProblem(name: Domain, answers: readonly DnsAnswer<string>[]): HostProblem {
  for (const answer of answers) {
    if (answer.kind === 'bogus') return { kind: 'bogus', name };
    if (answer.kind === 'unknown') return { kind: 'unknown', name, problem: answer.problem };
  }
  return { kind: 'no-addresses' };
}

/** Hosts with addresses, or why there is none. */
export type HostsVerdict =
  | { readonly kind: 'hosts'; readonly hosts: NonEmpty<ResolvedHost> }
  | { readonly kind: 'failed'; readonly problem: HostProblem };

/** The hosts that are left once their addresses are known: those better than ourselves. */
export function concludeHosts(verdicts: readonly HostVerdict[], basis: HostBasis): HostsVerdict {
  const own = Math.min(...verdicts.map((verdict) => (verdict.kind === 'own' ? verdict.preference : Number.POSITIVE_INFINITY)));
  const hosts: ResolvedHost[] = [];
  const problems: HostProblem[] = [];
  for (const verdict of verdicts) {
    if (verdict.kind === 'usable' && verdict.host.preference < own) hosts.push(verdict.host);
    if (verdict.kind === 'unusable' && verdict.preference < own) problems.push(verdict.problem);
  }
  if (isNonEmpty(hosts)) return { kind: 'hosts', hosts };
  const looped = basis === 'mx-above-own' || own !== Number.POSITIVE_INFINITY;
  return { kind: 'failed', problem: gravest(problems, looped) ?? { kind: basis === 'implicit' ? 'no-records' : 'no-addresses' } };
}

/** The problem that counts: what is not known first, for it may be gone tomorrow. */
function gravest(problems: readonly HostProblem[], looped: boolean): HostProblem | undefined {
  const unknown = problems.find(({ kind }) => kind === 'unknown' || kind === 'bogus');
  if (unknown !== undefined || !looped) return unknown ?? problems.find(({ kind }) => kind === 'refused');
  return { kind: 'loop' };
}

/**
 * The hosts of several hops as one list by preference. In order: all of a hop before any of the next. Balanced: the best of every
 * hop are equals, and so on.
 */
export function mergeHops(hops: readonly NonEmpty<ResolvedHost>[], balance: boolean): readonly ResolvedHost[] {
  const merged: ResolvedHost[] = [];
  let offset = 0;
  for (const hosts of hops) {
    for (const host of hosts) merged.push({ ...host, preference: host.preference + offset });
    if (!balance) offset = Math.max(...merged.map((host) => host.preference)) + 1;
  }
  return merged.toSorted((one, other) => one.preference - other.preference);
}

/** The order to try hosts in, drawn anew at each call: by preference, by chance among equals, IPv6 and IPv4 by turns. */
export function orderHosts(hosts: NonEmpty<ResolvedHost>, random: Random): NonEmpty<HostCandidate> {
  const drawn = shuffled(hosts, random).toSorted((one, other) => one.preference - other.preference);
  const candidates = drawn.flatMap(({ ipv6, ipv4, ...host }): HostCandidate[] => {
    const addresses = byTurns(shuffled(ipv6, random), shuffled(ipv4, random)).slice(0, MAX_ADDRESSES_PER_HOST);
    return isNonEmpty(addresses) ? [{ ...host, addresses }] : [];
  });
  if (!isNonEmpty(candidates)) throw new Error('a resolved host without an address');
  return candidates;
}

/** True where `orderHosts` has nothing to draw: every call would give the same order. */
export const isOrderFixed = (hosts: readonly ResolvedHost[]): boolean =>
  hosts.every((host, at) => host.ipv6.length <= 1 && host.ipv4.length <= 1 && host.preference !== hosts[at + 1]?.preference);

/** A copy in random order (Fisher and Yates). */
export function shuffled<T>(list: readonly T[], random: Random): T[] {
  const copy = [...list];
  for (let last = copy.length - 1; last > 0; last--) {
    const drawn = Math.floor(random() * (last + 1));
    const held = copy[last] as T;
    copy[last] = copy[drawn] as T;
    copy[drawn] = held;
  }
  return copy;
}

/** Elements of both by turns, beginning with `first`; the rest of the longer one at the end. */
function byTurns<T>(first: readonly T[], second: readonly T[]): T[] {
  const turns = Math.max(first.length, second.length);
  return Array.from({ length: turns }, (_, at) => [...first.slice(at, at + 1), ...second.slice(at, at + 1)]).flat();
}
