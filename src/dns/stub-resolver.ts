/**
 * The resolver port on a stub resolver of our own: node:dns passes on no AD bit and no TTL of an MX, and DANE needs both.
 * Remembers answers as long as they live, asks once for many who want the same, follows CNAMEs to their end.
 */
import type { Milliseconds } from '../domain/basics.ts';
import type { DnsAnswer, DnsProblem } from '../domain/dns.ts';
import { createExpiringMap } from '../domain/expiring-map.ts';
import { readReply, startTrail } from './answer-policy.ts';
import type { Resolver } from './resolver.ts';
import { createServers, type ServerOptions, type Servers } from './stub-servers.ts';
import { A, AAAA, CNAME, isQueryName, MX, type RecordType, TLSA, TXT } from './stub-wire.ts';
import { believed } from './trust-policy.ts';
import { createTurnstile, type Turnstile } from './turnstile.ts';

/** Bounds of a stub resolver. */
export type ResolverLimits = Pick<ServerOptions, 'tryTimeout' | 'rounds' | 'penalty'> & {
  /** How long a lookup may take in all, from the first question sent. */
  readonly lookupTimeout: Milliseconds;
  /** Answers remembered, for each type of record. */
  readonly cacheEntries: number;
  /** How long it is remembered that nothing could be learned (RFC 9520, section 3.2). */
  readonly failureLifetime: Milliseconds;
  /** Lookups under way at a time; each holds one socket. */
  readonly lookups: number;
};

/** The bounds where none are given. */
const RESOLVER_LIMITS: ResolverLimits = {
  tryTimeout: 3_000,
  rounds: 3,
  penalty: 30_000,
  lookupTimeout: 30_000,
  cacheEntries: 10_000,
  failureLifetime: 5_000,
  lookups: 256,
};

/**
 * What a stub resolver is made of. `servers` are asked in this order; none: every lookup is 'unreachable'. Where the AD bit of some
 * counts, only these are asked (trust-policy.ts).
 */
export type StubResolverOptions = Pick<ServerOptions, 'servers' | 'dnssec' | 'clock' | 'randomInt'> & {
  readonly limits?: Partial<ResolverLimits>;
};

/** What all lookups of a resolver share. */
type Shared = Pick<ServerOptions, 'clock'> & {
  readonly servers: Servers;
  readonly turnstile: Turnstile;
  readonly limits: ResolverLimits;
  readonly closing: AbortSignal;
};

type Lookup<T> = (name: string, signal: AbortSignal) => Promise<DnsAnswer<T>>;

const unknown = (problem: DnsProblem): DnsAnswer<never> => ({ kind: 'unknown', problem });

/** A resolver over UDP and TCP. `close` ends what is under way ('unreachable') and leaves no socket and no timer. */
export function createStubResolver(options: StubResolverOptions): Resolver {
  const limits: ResolverLimits = { ...RESOLVER_LIMITS, ...options.limits };
  const closing = new AbortController();
  const trusted = believed(options.servers, options.dnssec);
  const servers = createServers({ ...options, ...limits, servers: trusted, signal: closing.signal });
  const turnstile = createTurnstile(limits.lookups);
  const shared: Shared = { clock: options.clock, servers, turnstile, limits, closing: closing.signal };
  return {
    mx: createLookup(shared, MX, null),
    a: createLookup(shared, A, '127.0.0.1'),
    aaaa: createLookup(shared, AAAA, '::1'),
    txt: createLookup(shared, TXT, null),
    tlsa: createLookup(shared, TLSA, null),
    cname: createLookup(shared, CNAME, null),
    close: () => closing.abort(),
  };
}

/** Lookups of one type: its cache, and what is under way. `loopback` is what localhost has of this type. */
function createLookup<T>(shared: Shared, type: RecordType<T>, loopback: T | null): Lookup<T> {
  const { clock, limits } = shared;
  const cache = createExpiringMap<string, { readonly answer: DnsAnswer<T>; readonly until: Milliseconds }>(limits.cacheEntries);
  const flights = new Map<string, Promise<DnsAnswer<T>>>();
  const fly = async (name: string): Promise<DnsAnswer<T>> => {
    try {
      const answer = await shared.turnstile.run(() => lookUp(shared, type, name));
      const now = clock.monotonic();
      const lifetime = lifetimeOf(answer, limits);
      if (!shared.closing.aborted) cache.set(name, { answer, until: now + lifetime }, { now, lifetime });
      return answer;
    } finally {
      flights.delete(name);
    }
  };
  return (name, signal) => {
    const now = clock.monotonic();
    const cached = cache.get(name, now);
    if (cached !== undefined) return Promise.resolve(aged(cached.answer, cached.until - now));
    if (isLocalhost(name)) return Promise.resolve(localhost(name, loopback));
    if (!isQueryName(name)) return Promise.resolve(unknown('malformed'));
    let flight = flights.get(name);
    if (flight === undefined) {
      flight = fly(name);
      flights.set(name, flight);
    }
    return unlessAborted(flight, signal);
  };
}

/** Asks until the chain of CNAMEs ends; readReply bounds its length. */
async function lookUp<T>(shared: Shared, type: RecordType<T>, name: string): Promise<DnsAnswer<T>> {
  const deadline = shared.clock.monotonic() + shared.limits.lookupTimeout;
  let trail = startTrail(name);
  for (;;) {
    const told = await shared.servers.ask({ name: trail.name, type, deadline });
    if (told.kind !== 'reply') return told;
    const step = readReply(trail, told.reply);
    if (step.kind === 'answer') return step.answer;
    trail = step.trail;
  }
}

function lifetimeOf(answer: DnsAnswer<unknown>, limits: ResolverLimits): Milliseconds {
  switch (answer.kind) {
    case 'records':
    case 'absent':
      return answer.ttlSeconds * 1000;
    case 'bogus':
    case 'unknown':
      return limits.failureLifetime;
  }
}

/** The answer with what is left of its TTL, in whole seconds. */
function aged<T>(answer: DnsAnswer<T>, left: Milliseconds): DnsAnswer<T> {
  switch (answer.kind) {
    case 'records':
    case 'absent':
      return { ...answer, ttlSeconds: Math.floor(left / 1000) };
    case 'bogus':
    case 'unknown':
      return answer;
  }
}

/** RFC 6761, section 6.3: names for this machine are not asked for in the DNS. */
const isLocalhost = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost');

function localhost<T>(name: string, loopback: T | null): DnsAnswer<T> {
  if (loopback === null) return { kind: 'absent', nxdomain: false, secure: false, ttlSeconds: 0 };
  return { kind: 'records', records: [loopback], secure: false, ttlSeconds: 0, canonicalName: name };
}

/** The flight's answer, or 'timeout' as soon as this caller gives up; the flight itself goes on for others and for the cache. */
function unlessAborted<T>(flight: Promise<DnsAnswer<T>>, signal: AbortSignal): Promise<DnsAnswer<T>> {
  if (signal.aborted) return Promise.resolve(unknown('timeout'));
  return new Promise((resolve) => {
    const abort = (): void => resolve(unknown('timeout'));
    signal.addEventListener('abort', abort, { once: true });
    void flight.then((answer) => {
      signal.removeEventListener('abort', abort);
      resolve(answer);
    });
  });
}
