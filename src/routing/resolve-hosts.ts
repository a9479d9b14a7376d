/**
 * The hosts to try for a message, in order. Runs for every message: what was found is remembered for up to a minute, and a draw
 * among equals costs no lookup. RFC 5321, section 5.1.
 */
import type { Domain } from '../domain/address.ts';
import type { Clock, Milliseconds, NonEmpty } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import { createExpiringMap, type ExpiringMap } from '../domain/expiring-map.ts';
import { addressTest } from './address-policy.ts';
import { type FindContext, type FoundHosts, findHosts, type RouteRequest } from './find-hosts.ts';
import type { HostFailure } from './host-failure-policy.ts';
import { type HostCandidate, isOrderFixed, orderHosts, type ResolvedHost } from './host-policy.ts';

export type { HostCandidate } from './host-policy.ts';

/** Where a message can go. */
export type HostPlan =
  | { readonly kind: 'hosts'; readonly hosts: NonEmpty<HostCandidate> }
  | { readonly kind: 'failed'; readonly failure: HostFailure };

/** What routing works with. */
export type RouteContext = Omit<FindContext, 'isOwnAddress'> & {
  /** The addresses under which peers reach this relay; no wildcards. */
  readonly ownAddresses: ReadonlySet<string>;
};

/** How long routing may take in all. */
const PATIENCE: Milliseconds = 30_000;
const MAX_LIFETIME_SECONDS = 60;
/** Messages that leave within a second are one transaction to the DNS, even where a TTL is zero. */
const MIN_LIFETIME_SECONDS = 1;
const MAX_REMEMBERED = 20_000;

/** The hosts for one destination, looked up now, within 30 seconds. Never rejects: what DNS does is a case of the plan. */
export async function resolveHosts(request: RouteRequest, context: RouteContext, signal: AbortSignal): Promise<HostPlan> {
  const { ownAddresses, ...rest } = context;
  const found = await findInTime(request, { ...rest, isOwnAddress: addressTest(ownAddresses) }, signal);
  return found.kind === 'hosts' ? { kind: 'hosts', hosts: orderHosts(found.hosts, context.random) } : found;
}

async function findInTime(request: RouteRequest, context: FindContext, signal?: AbortSignal): Promise<FoundHosts> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = setTimeout(end, PATIENCE);
  signal?.addEventListener('abort', end);
  if (signal?.aborted === true) end();
  try {
    return await findHosts(request, context, ending.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

/** Resolves hosts for many messages. */
export type HostResolver = {
  /** The plan at once where the destination is known, else as soon as it is. Never throws or rejects. */
  resolve(connector: OutboundConnector, destination: { readonly domain: Domain }): HostPlan | Promise<HostPlan>;
};

/** As RouteContext, with the configuration asked for at every message: a new one makes the old one's hosts forgotten. */
export type HostResolverContext = Omit<RouteContext, 'config'> & { readonly clock: Clock; config(): Config };

/** What is known of a destination: a plan that is always the same, or hosts to be put in order each time. */
type Known =
  | { readonly kind: 'fixed'; readonly plan: HostPlan }
  | { readonly kind: 'drawn'; readonly hosts: NonEmpty<ResolvedHost> };

/** A host resolver with its memory. Closing the DNS resolver ends what is under way. */
export function createHostResolver(context: HostResolverContext): HostResolver {
  const { clock, random, resolver } = context;
  const isOwnAddress = addressTest(context.ownAddresses);
  let memory = createMemory(context.config());
  const find = async (request: RouteRequest, key: Key, { config, known, flights }: Memory): Promise<Known> => {
    try {
      const found = await findInTime(request, { config, resolver, random, isOwnAddress });
      const entry = toKnown(found, random);
      known.set(key, entry, { now: clock.monotonic(), lifetime: lifetimeOf(found) });
      return entry;
    } finally {
      flights.delete(key);
    }
  };
  const planOf = (entry: Known): HostPlan =>
    entry.kind === 'fixed' ? entry.plan : { kind: 'hosts', hosts: orderHosts(entry.hosts, random) };
  return {
    resolve(connector, { domain }) {
      const config = context.config();
      if (config !== memory.config) memory = createMemory(config);
      const key = connector.route.kind === 'mx' ? domain : connector;
      const entry = memory.known.get(key, clock.monotonic());
      if (entry !== undefined) return planOf(entry);
      const flight = memory.flights.get(key) ?? find({ connector, domain }, key, memory);
      memory.flights.set(key, flight);
      return flight.then(planOf);
    },
  };
}

/** What a route depends on: the domain alone where MX records decide, else the connector alone. */
type Key = Domain | OutboundConnector;

/** What one configuration's lookups left, and those under way. */
type Memory = {
  readonly config: Config;
  readonly known: ExpiringMap<Key, Known>;
  readonly flights: Map<Key, Promise<Known>>;
};

const createMemory = (config: Config): Memory => ({ config, known: createExpiringMap(MAX_REMEMBERED), flights: new Map() });

function toKnown(found: FoundHosts, random: FindContext['random']): Known {
  if (found.kind === 'failed') return { kind: 'fixed', plan: { kind: 'failed', failure: found.failure } };
  if (!isOrderFixed(found.hosts)) return { kind: 'drawn', hosts: found.hosts };
  return { kind: 'fixed', plan: { kind: 'hosts', hosts: orderHosts(found.hosts, random) } };
}

/** Temporary failures are not remembered here: the resolver remembers what it could not learn, and no longer than it should. */
function lifetimeOf(found: FoundHosts): Milliseconds {
  if (found.kind === 'failed' && !found.failure.permanent) return 0;
  return Math.min(MAX_LIFETIME_SECONDS, Math.max(MIN_LIFETIME_SECONDS, found.ttlSeconds)) * 1000;
}
