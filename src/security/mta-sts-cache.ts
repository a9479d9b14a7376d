/**
 * What this thread knows of domains' MTA-STS policies: asked for before every message, so an answer that is known comes at once.
 * Policies live in a store that all threads share and a restart does not empty; mta-sts-policy.ts decides, this gathers and carries out.
 */
import type { Resolver } from '../dns/resolver.ts';
import { type Domain, isAddressLiteral } from '../domain/address.ts';
import type { Clock, Instant, Milliseconds } from '../domain/basics.ts';
import type { DnsAnswer } from '../domain/dns.ts';
import { createExpiringMap } from '../domain/expiring-map.ts';
import { MAX_STORED_POLICIES, type StoredPolicy, type StsProblem } from '../domain/mta-sts.ts';
import type { Spool } from '../spool/spool.ts';
import type { StsFetch } from './mta-sts-fetch.ts';
import {
  decideSts,
  freshFor,
  isAlive,
  isRenewalWorthwhile,
  isUseNewsworthy,
  type MtaStsStatus,
  readStsAnswer,
  stsStatus,
} from './mta-sts-policy.ts';

/** Where policies are kept. Writes are durable soon, not at once: losing one costs a fetch. */
export type PolicyStore = {
  load(): Promise<readonly StoredPolicy[]>;
  put(policy: StoredPolicy): void;
  /** Tells of every policy any thread kept, this one included. */
  onChange(listener: (policy: StoredPolicy) => void): void;
};

/** The store in the spool. */
export const spoolPolicies = (spool: Pick<Spool, 'recallPolicies' | 'keepPolicy' | 'onPolicy'>): PolicyStore => ({
  load: () => spool.recallPolicies(),
  put: (policy) => void spool.keepPolicy(policy),
  onChange: (listener) => spool.onPolicy(listener),
});

/** Something learned, for log and reports. */
export type StsNews =
  | { readonly kind: 'fetched'; readonly policy: StoredPolicy }
  /** A policy that should be there could not be had. `cached`: an older one is still in force. At most once in five minutes a domain. */
  | { readonly kind: 'problem'; readonly domain: Domain; readonly problem: StsProblem; readonly cached: boolean };

/** What the policies are made of. */
export type MtaStsContext = {
  readonly store: PolicyStore;
  readonly resolver: Pick<Resolver, 'txt'>;
  readonly fetch: StsFetch;
  readonly clock: Clock;
  onNews(news: StsNews): void;
};

/** Domains' policies as deliveries ask for them. */
export type MtaStsPolicies = {
  /** The status of a policy domain: at once where it is known and fresh, else when the DNS, and if need be the policy host, has answered. Never rejects. */
  statusFor(domain: Domain): MtaStsStatus | Promise<MtaStsStatus>;
  /** Renews policies in use that would grow old while nobody asks. For one thread to call now and then; resolves when all renewals under way are done. */
  renewDue(): Promise<void>;
  /** Ends what is under way. */
  close(): Promise<void>;
};

/** How long a fetch is remembered; one that failed is not repeated by `renewDue` before. */
const FETCH_MEMORY: Milliseconds = 3_600_000;
const RENEWALS_AT_A_TIME = 4;
const NONE: MtaStsStatus = { kind: 'not-applicable', problem: null };

/** Loads what the store keeps and follows it from then on. Rejects where the store cannot be read. */
export async function openMtaStsPolicies(context: MtaStsContext): Promise<MtaStsPolicies> {
  const policies = new Policies(context);
  await policies.load();
  return policies;
}

/** One lookup of a domain: its answer, and whether a delivery asked. */
type Occasion = { readonly domain: Domain; readonly answer: DnsAnswer<string>; readonly asked: boolean };

class Policies implements MtaStsPolicies {
  readonly #context: MtaStsContext;
  readonly #kept = new Map<Domain, StoredPolicy>();
  readonly #fresh = createExpiringMap<Domain, MtaStsStatus>(MAX_STORED_POLICIES);
  readonly #fetches = createExpiringMap<Domain, { readonly at: Instant; readonly problem: StsProblem | null }>(
    MAX_STORED_POLICIES,
  );
  readonly #flights = new Map<Domain, Promise<MtaStsStatus>>();
  readonly #background = new Map<Domain, Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(context: MtaStsContext) {
    this.#context = context;
  }

  async load(): Promise<void> {
    const { store } = this.#context;
    store.onChange((policy) => this.#hear(policy));
    for (const policy of await store.load()) this.#hear(policy);
  }

  statusFor(domain: Domain): MtaStsStatus | Promise<MtaStsStatus> {
    const known = this.#fresh.get(domain, this.#context.clock.monotonic());
    if (known !== undefined) return known;
    return isAddressLiteral(domain) ? NONE : this.#learnOnce(domain, true);
  }

  async renewDue(): Promise<void> {
    const due = [...this.#kept.values()].filter((policy) => this.#isNeglected(policy));
    const renewal = async (): Promise<void> => {
      for (let next = due.pop(); next !== undefined && !this.#closing.signal.aborted; next = due.pop()) {
        await this.#learnOnce(next.domain, false);
        await this.#background.get(next.domain);
      }
    };
    await Promise.all(Array.from({ length: RENEWALS_AT_A_TIME }, renewal));
    await Promise.all(this.#background.values());
  }

  /** Due, and neither asked for nor tried lately. */
  #isNeglected(policy: StoredPolicy): boolean {
    const { clock } = this.#context;
    if (!isRenewalWorthwhile(policy, clock.now())) return false;
    const now = clock.monotonic();
    return this.#fresh.get(policy.domain, now) === undefined && this.#fetches.get(policy.domain, now) === undefined;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#flights.values(), ...this.#background.values()]);
  }

  #learnOnce(domain: Domain, asked: boolean): Promise<MtaStsStatus> {
    const flying = this.#flights.get(domain);
    if (flying !== undefined) return flying;
    const flight = this.#learn(domain, asked).finally(() => this.#flights.delete(domain));
    this.#flights.set(domain, flight);
    return flight;
  }

  async #learn(domain: Domain, asked: boolean): Promise<MtaStsStatus> {
    const { resolver, clock } = this.#context;
    const answer = await resolver.txt(`_mta-sts.${domain}`, this.#closing.signal);
    const lookup = readStsAnswer(answer);
    const now = clock.now();
    const cached = this.#kept.get(domain) ?? null;
    const fetched = this.#fetches.get(domain, clock.monotonic());
    const occasion = { domain, answer, asked };
    const decision = decideSts({ cached, lookup, lastFetchAt: fetched?.at ?? null, now });
    const problem = lookup.kind === 'problem' ? lookup.problem : (fetched?.problem ?? null);
    // What the record's id is cannot be known now: the policy keeps the one it had.
    const id = lookup.kind === 'id' ? lookup.id : (cached?.id ?? '');
    switch (decision) {
      case 'fetch':
        return this.#renew(occasion, id);
      case 'fetch-in-background':
        this.#startRenewal(occasion, id);
        return this.#conclude(occasion, problem);
      case 'use-cached':
        if (asked && cached !== null && isUseNewsworthy(cached, now)) this.#keep({ ...cached, usedAt: now });
        return this.#conclude(occasion, problem);
      case 'none':
        if (problem?.kind === 'record') this.#context.onNews({ kind: 'problem', domain, problem, cached: false });
        return this.#conclude(occasion, problem);
    }
  }

  #startRenewal(occasion: Occasion, id: string): void {
    const { domain } = occasion;
    this.#background.set(
      domain,
      this.#renew(occasion, id).finally(() => this.#background.delete(domain)),
    );
  }

  async #renew(occasion: Occasion, id: string): Promise<MtaStsStatus> {
    const { fetch, clock, onNews } = this.#context;
    const { domain, asked } = occasion;
    const at = clock.now();
    this.#noteFetch(domain, at, null);
    const result = await fetch(domain, this.#closing.signal);
    // An end of our own says nothing about the domain.
    if (this.#closing.signal.aborted) return stsStatus(this.#kept.get(domain) ?? null, null, clock.now());
    if (result.ok) {
      const usedAt = asked ? clock.now() : (this.#kept.get(domain)?.usedAt ?? at);
      const policy: StoredPolicy = { ...result.value, domain, id, fetchedAt: clock.now(), usedAt };
      this.#keep(policy);
      onNews({ kind: 'fetched', policy });
      return this.#conclude(occasion, null);
    }
    const problem: StsProblem = { kind: 'fetch', failure: result.error };
    this.#noteFetch(domain, at, problem);
    const status = this.#conclude(occasion, problem);
    onNews({ kind: 'problem', domain, problem, cached: status.kind === 'policy' });
    return status;
  }

  #noteFetch(domain: Domain, at: Instant, problem: StsProblem | null): void {
    this.#fetches.set(domain, { at, problem }, { now: this.#context.clock.monotonic(), lifetime: FETCH_MEMORY });
  }

  /** The status as of now, remembered for as long as it holds. */
  #conclude({ domain, answer }: Occasion, problem: StsProblem | null): MtaStsStatus {
    const { clock } = this.#context;
    const now = clock.now();
    const cached = this.#kept.get(domain) ?? null;
    const status = stsStatus(cached, problem, now);
    const lifetime = freshFor(answer, cached, { failed: problem?.kind === 'fetch', now });
    this.#fresh.set(domain, status, { now: clock.monotonic(), lifetime });
    return status;
  }

  #keep(policy: StoredPolicy): void {
    this.#hold(policy);
    this.#context.store.put(policy);
  }

  #hold(policy: StoredPolicy): void {
    if (!this.#kept.has(policy.domain) && this.#kept.size >= MAX_STORED_POLICIES) this.#makeRoom();
    this.#kept.set(policy.domain, policy);
  }

  #makeRoom(): void {
    const now = this.#context.clock.now();
    for (const policy of this.#kept.values()) if (!isAlive(policy, now)) this.#kept.delete(policy.domain);
    const first = this.#kept.keys().next();
    if (this.#kept.size >= MAX_STORED_POLICIES && !first.done) this.#kept.delete(first.value);
  }

  /** A policy of the store. What is new to this thread is taken up with the next message. */
  #hear(policy: StoredPolicy): void {
    const known = this.#kept.get(policy.domain);
    if (known !== undefined && known.fetchedAt > policy.fetchedAt) return;
    this.#hold(policy);
    if (known?.fetchedAt === policy.fetchedAt && known.id === policy.id) return;
    const over = { now: this.#context.clock.monotonic(), lifetime: 0 };
    this.#fresh.set(policy.domain, NONE, over);
    this.#fetches.set(policy.domain, { at: policy.fetchedAt, problem: null }, over);
  }
}
