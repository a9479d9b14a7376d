/**
 * Looks up the hosts of a route: MX, then the addresses of the best hosts side by side, further ones only where these have too few.
 * Asks and collects; what the answers mean is host-policy.ts's business.
 */

import type { Resolver } from '../dns/resolver.ts';
import { type Domain, isAddressLiteral } from '../domain/address.ts';
import { isNonEmpty, type NonEmpty, type Random } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { NextHop, OutboundConnector } from '../domain/connector.ts';
import type { DnsAnswer } from '../domain/dns.ts';
import { mayConnect } from './address-policy.ts';
import { type HostFailure, hostFailure, smarthostFailure } from './host-failure-policy.ts';
import {
  type AddressRules,
  concludeHosts,
  type HostToJudge,
  type HostVerdict,
  judgeAddress,
  judgeHost,
  judgeMx,
  mergeHops,
  type NamedHost,
  type ResolvedHost,
  shuffled,
} from './host-policy.ts';
import { mxProof, type NameProof, namedByOperator } from './proof-policy.ts';

/** What is to be routed. */
export type RouteRequest = { readonly connector: OutboundConnector; readonly domain: Domain };

/** What routing works with. */
export type FindContext = {
  readonly config: Config;
  readonly resolver: Resolver;
  readonly random: Random;
  /** True for the relay's own addresses, in any spelling. */
  isOwnAddress(address: string): boolean;
};

/** Hosts as found, not yet in order, or why there are none; and how many seconds this may be remembered. */
export type FoundHosts =
  | { readonly kind: 'hosts'; readonly hosts: NonEmpty<ResolvedHost>; readonly ttlSeconds: number }
  | { readonly kind: 'failed'; readonly failure: HostFailure; readonly ttlSeconds: number };

/** Hosts looked up side by side. */
const BATCH = 5;
/** Addresses that are enough for one attempt. */
const ENOUGH_ADDRESSES = 8;
/** How long half-knowledge may be remembered: a host whose lookup failed may be back soon. */
const UNKNOWN_TTL_SECONDS = 5;
/** For what does not come from the DNS. */
const ENDLESS = Number.POSITIVE_INFINITY;
const SMTP_PORT = 25;

/** One lookup's tools. */
type Work = FindContext & { readonly signal: AbortSignal; readonly exempt: boolean };
/** A host's verdict and how long it holds. */
type Judged = { readonly verdict: HostVerdict; readonly ttlSeconds: number };

/** The hosts of a route. Never rejects; ends soon after `signal` aborts. */
export async function findHosts(request: RouteRequest, context: FindContext, signal: AbortSignal): Promise<FoundHosts> {
  const { connector, domain } = request;
  const { route } = connector;
  switch (route.kind) {
    case 'mx':
      return findDomain({ domain, port: context.config.delivery.port }, { ...context, signal, exempt: false });
    case 'smarthost': {
      const work = { ...context, signal, exempt: true };
      const hops = await Promise.all(route.hosts.map((hop) => findHop(hop, work)));
      return joinHops(connector.name, hops, route.balance);
    }
    case 'reject':
      return { kind: 'failed', failure: { permanent: true, enhanced: '5.7.1', text: route.text }, ttlSeconds: ENDLESS };
  }
}

/** All hops that have hosts, in one list; only where none has is that a failure. */
function joinHops(connector: string, hops: readonly FoundHosts[], balance: boolean): FoundHosts {
  const ttlSeconds = Math.min(...hops.map((hop) => hop.ttlSeconds));
  const found = hops.flatMap((hop) => (hop.kind === 'hosts' ? [hop.hosts] : []));
  const hosts = mergeHops(found, balance);
  if (isNonEmpty(hosts)) return { kind: 'hosts', hosts, ttlSeconds };
  const failures = hops.flatMap((hop) => (hop.kind === 'failed' ? [hop.failure] : []));
  const failure = failures.find(({ permanent }) => !permanent) ?? failures[0];
  if (failure === undefined) throw new Error('a smarthost route without hosts');
  return { kind: 'failed', failure: smarthostFailure(connector, failure), ttlSeconds };
}

async function findHop(hop: NextHop, work: Work): Promise<FoundHosts> {
  switch (hop.kind) {
    case 'mx':
      return findDomain({ domain: hop.domain, port: hop.port }, work);
    case 'address':
      return findAddress({ domain: hop.address, address: hop.address, port: hop.port }, work);
    case 'host': {
      const judged = await lookUpHost({ name: hop.name, port: hop.port, preference: 0, ...namedByOperator(hop.name) }, work);
      const { verdict, ttlSeconds } = judged;
      const hosts = concludeHosts([verdict], 'mx');
      return hosts.kind === 'hosts'
        ? { ...hosts, ttlSeconds }
        : { kind: 'failed', failure: hostFailure(hop.name, hosts.problem), ttlSeconds };
    }
  }
}

type Destination = { readonly domain: Domain; readonly port: number };

/** The hosts of a domain by its MX records, or the one that an address literal names. */
async function findDomain({ domain, port }: Destination, work: Work): Promise<FoundHosts> {
  if (isAddressLiteral(domain)) {
    const address = domain.slice(1, -1).replace(/^ipv6:/, '');
    return findAddress({ domain, address, port }, work);
  }
  const answer = await work.resolver.mx(domain, work.signal);
  const mxTtl = ttlOf(answer);
  const verdict = judgeMx(domain, answer, (name) => name === work.config.hostname && isOwnPort(port, work.config));
  if (verdict.kind === 'failed') return { kind: 'failed', failure: hostFailure(domain, verdict.problem), ttlSeconds: mxTtl };
  const judged = await lookUpHosts({ hosts: verdict.hosts, port, proof: mxProof(domain, answer) }, work);
  const ttlSeconds = Math.min(mxTtl, ...judged.map((one) => one.ttlSeconds));
  const hosts = concludeHosts(
    judged.map((one) => one.verdict),
    verdict.basis,
  );
  return hosts.kind === 'hosts'
    ? { ...hosts, ttlSeconds }
    : { kind: 'failed', failure: hostFailure(domain, hosts.problem), ttlSeconds };
}

function findAddress(
  target: { readonly domain: string; readonly address: string; readonly port: number },
  work: Work,
): FoundHosts {
  const { domain, address, port } = target;
  const verdict = concludeHosts([judgeAddress(address, port, rulesFor(port, work))], 'mx');
  return verdict.kind === 'hosts'
    ? { ...verdict, ttlSeconds: ENDLESS }
    : { kind: 'failed', failure: hostFailure(domain, verdict.problem), ttlSeconds: ENDLESS };
}

/** Hosts by preference, equals by chance, a batch at a time until there are addresses enough. */
async function lookUpHosts(
  target: { readonly hosts: readonly NamedHost[]; readonly port: number; readonly proof: NameProof },
  work: Work,
): Promise<readonly Judged[]> {
  const drawn = shuffled(target.hosts, work.random).toSorted((one, other) => one.preference - other.preference);
  const judged: Judged[] = [];
  let addresses = 0;
  for (let at = 0; at < drawn.length && addresses < ENOUGH_ADDRESSES; at += BATCH) {
    const batch = drawn.slice(at, at + BATCH).map((host) => lookUpHost({ ...host, ...target.proof, port: target.port }, work));
    for (const one of await Promise.all(batch)) {
      judged.push(one);
      if (one.verdict.kind === 'usable') addresses += one.verdict.host.ipv4.length + one.verdict.host.ipv6.length;
    }
  }
  return judged;
}

async function lookUpHost(host: HostToJudge, work: Work): Promise<Judged> {
  const { resolver, config, signal } = work;
  const asked = [resolver.a(host.name, signal), config.delivery.ipv6 ? resolver.aaaa(host.name, signal) : null] as const;
  const [a, aaaa] = await Promise.all(asked);
  const ttlSeconds = Math.min(ttlOf(a), aaaa === null ? ENDLESS : ttlOf(aaaa));
  return { verdict: judgeHost(host, { a, aaaa }, rulesFor(host.port, work)), ttlSeconds };
}

const rulesFor = (port: number, { config, exempt, isOwnAddress }: Work): AddressRules => ({
  isOwn: (address) => isOwnPort(port, config) && isOwnAddress(address),
  mayConnect: (address) => mayConnect(address, { allowPrivate: config.delivery.allowPrivateAddresses, exempt }),
});

/**
 * A host with our address is ourselves only at a port that reaches us: one we listen on, or 25, which may be mapped to it.
 * Another server may well run beside us at another.
 */
const isOwnPort = (port: number, config: Config): boolean =>
  port === SMTP_PORT || config.listeners.some((listener) => listener.port === port);

const ttlOf = (answer: DnsAnswer<unknown>): number =>
  answer.kind === 'records' || answer.kind === 'absent' ? answer.ttlSeconds : UNKNOWN_TTL_SECONDS;
