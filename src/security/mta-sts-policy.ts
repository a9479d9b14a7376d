/**
 * What to do about a domain's MTA-STS policy: use what is cached, fetch, or go without. A failed fetch or a vanished record never
 * drops a policy that is still alive: that is what protects from whoever can block either. RFC 8461, sections 3.3, 5 and 10.2.
 */
import type { Domain } from '../domain/address.ts';
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';
import type { Route } from '../domain/connector.ts';
import type { DnsAnswer } from '../domain/dns.ts';
import { policyEnd, type StoredPolicy, type StsProblem } from '../domain/mta-sts.ts';
import type { NamePattern } from '../domain/peer.ts';
import { satisfies } from './certificate-names-format.ts';
import { parseStsRecords } from './mta-sts-format.ts';

/** A domain's policy is fetched at most this often (RFC 8461, section 3.3). */
export const FETCH_INTERVAL: Milliseconds = 300_000;
/** A cached policy is renewed when it is this old, or has half its life behind it (RFC 8461, section 3.3: daily). */
const RENEW_AGE: Milliseconds = 86_400_000;
/** Policies no delivery has asked for in this time are left to end. */
const UNUSED_AFTER: Milliseconds = 30 * 86_400_000;

/** What the lookup of the TXT record came to. */
export type StsLookup =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'problem'; readonly problem: StsProblem };

/** Reads the answer for `_mta-sts.DOMAIN`. */
export function readStsAnswer(answer: DnsAnswer<string>): StsLookup {
  switch (answer.kind) {
    case 'absent':
      return { kind: 'absent' };
    case 'bogus':
      return { kind: 'problem', problem: { kind: 'lookup', problem: 'bogus' } };
    case 'unknown':
      return { kind: 'problem', problem: { kind: 'lookup', problem: answer.problem } };
    case 'records': {
      const record = parseStsRecords(answer.records);
      switch (record.kind) {
        case 'id':
          return record;
        case 'none':
          return { kind: 'absent' };
        case 'several':
        case 'invalid':
          return { kind: 'problem', problem: { kind: 'record', fault: record.kind } };
      }
    }
  }
}

/** What the decision looks at. */
export type StsFacts = {
  /** Cached or null; it may have ended. */
  readonly cached: StoredPolicy | null;
  readonly lookup: StsLookup;
  /** When this domain's policy was last asked for over HTTPS, with or without success; null where not lately. */
  readonly lastFetchAt: Instant | null;
  readonly now: Instant;
};

/** `fetch`: the delivery waits for it. `none`: nothing is in force. */
export type StsDecision = 'use-cached' | 'fetch' | 'fetch-in-background' | 'none';

/** True while the policy is in force. */
export const isAlive = (policy: StoredPolicy, now: Instant): boolean => now < policyEnd(policy);

/** What to do before a delivery to the domain. */
export function decideSts({ cached, lookup, lastFetchAt, now }: StsFacts): StsDecision {
  const mayFetch = !withinInterval(lastFetchAt, now) && !withinInterval(cached?.fetchedAt ?? null, now);
  if (cached === null || !isAlive(cached, now)) return lookup.kind === 'id' && mayFetch ? 'fetch' : 'none';
  if (!mayFetch) return 'use-cached';
  switch (lookup.kind) {
    case 'id':
      if (lookup.id !== cached.id) return 'fetch';
      return isRenewalDue(cached, now) ? 'fetch-in-background' : 'use-cached';
    case 'absent':
      // A domain that took its record away wants its policy to end, and no later than it would have.
      return 'use-cached';
    case 'problem':
      return lookup.problem.kind === 'lookup' && isRenewalDue(cached, now) ? 'fetch-in-background' : 'use-cached';
  }
}

/** A time ahead of the clock is one from before the clock was set back: it holds nobody up. */
const withinInterval = (start: Instant | null, now: Instant): boolean =>
  start !== null && start <= now && now < after(start, FETCH_INTERVAL);

/** True where the policy should be renewed before it ends: after a day, or half its life if that is shorter. */
export const isRenewalDue = (policy: StoredPolicy, now: Instant): boolean => now >= renewalTime(policy);

const renewalTime = (policy: StoredPolicy): Instant =>
  after(policy.fetchedAt, Math.min(RENEW_AGE, (policyEnd(policy) - policy.fetchedAt) / 2));

/** True where the policy is to be renewed though no delivery asks for it now: alive, due, and asked for within thirty days. */
export const isRenewalWorthwhile = (policy: StoredPolicy, now: Instant): boolean =>
  isAlive(policy, now) && isRenewalDue(policy, now) && now < after(policy.usedAt, UNUSED_AFTER);

/** True where the note of when the policy was last used should be brought up to date: once a day is enough. */
export const isUseNewsworthy = (policy: StoredPolicy, now: Instant): boolean => now >= after(policy.usedAt, RENEW_AGE);

/** Whose policy counts, and whose TLSRPT record: with a smarthost the smarthost's (RFC 8461, section 3.4); null where it has no name. */
export const policyDomainOf = (
  route: Pick<Route, 'kind'>,
  host: { readonly name: Domain | null; readonly nextHopNames: readonly Domain[] },
  recipientDomain: Domain,
): Domain | null => (route.kind === 'smarthost' ? (host.nextHopNames[0] ?? host.name) : recipientDomain);

/** What is known of a domain's policy when a message is to be sent there. */
export type MtaStsStatus =
  /** None is in force. `problem`: the domain may have one that could not be learned. */
  | { readonly kind: 'not-applicable'; readonly problem: StsProblem | null }
  | {
      readonly kind: 'policy';
      readonly domain: Domain;
      readonly id: string;
      readonly mode: 'enforce' | 'testing';
      readonly mx: readonly NamePattern[];
      readonly maxAgeSeconds: number;
      readonly ends: Instant;
      /** Why it could not be renewed, null where it was or need not be. */
      readonly problem: StsProblem | null;
    };

/** What is in force: the cached policy while it lives, unless it says that there is none. */
export function stsStatus(cached: StoredPolicy | null, problem: StsProblem | null, now: Instant): MtaStsStatus {
  if (cached === null || !isAlive(cached, now)) return { kind: 'not-applicable', problem };
  const { domain, id, mode, mx, maxAgeSeconds } = cached;
  if (mode === 'none') return { kind: 'not-applicable', problem: null };
  return { kind: 'policy', domain, id, mode, mx, maxAgeSeconds, ends: policyEnd(cached), problem };
}

/** How long a status may be used without asking the DNS again. */
const LEAST_FRESH: Milliseconds = 60_000;
const MOST_FRESH: Milliseconds = 3_600_000;

/**
 * How long a status learned from this answer holds: the TTL within bounds, a minute where nothing was learned, no longer than
 * until the next fetch may be tried where one failed, never beyond the policy's end or the time to renew it.
 */
export function freshFor(
  answer: DnsAnswer<string>,
  cached: StoredPolicy | null,
  seen: { readonly failed: boolean; readonly now: Instant },
): Milliseconds {
  const known = answer.kind === 'records' || answer.kind === 'absent';
  const byTtl = known ? Math.min(MOST_FRESH, Math.max(LEAST_FRESH, answer.ttlSeconds * 1000)) : LEAST_FRESH;
  const byFetch = seen.failed ? Math.min(byTtl, FETCH_INTERVAL) : byTtl;
  if (cached === null || !isAlive(cached, seen.now)) return byFetch;
  const next = isRenewalDue(cached, seen.now) ? policyEnd(cached) : renewalTime(cached);
  return Math.min(byFetch, next - seen.now);
}

/** True where the host is one of the policy's: `*` stands for exactly one label, the leftmost (RFC 8461, section 4.1). */
export const permitsHost = (policy: { readonly mx: readonly NamePattern[] }, host: Domain): boolean =>
  policy.mx.some((pattern) => satisfies({ kind: 'exact', domain: host }, pattern));
