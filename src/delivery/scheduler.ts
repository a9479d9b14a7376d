/**
 * When what is tried: takes claims, fresh ones from the listeners and due ones from the spool, lets each destination have its
 * share of connections, has attempts made and settles them. One for each relay thread.
 */
import type { Domain } from '../domain/address.ts';
import { type Clock, isNonEmpty, type Milliseconds, type Random } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { DeliveryReport } from '../domain/outcome.ts';
import type { Claim, RecipientSettlement } from '../domain/queue.ts';
import type { MadeNotice } from '../reporting/notices.ts';
import type { Spool } from '../spool/spool.ts';
import type { AttemptResult } from './attempt.ts';
import { Destination, type Ready } from './destination.ts';
import { settleRecipient } from './retry-policy.ts';

/** A claim at its end: what the log tells and the notices are made from. */
export type Finished = {
  readonly claim: Claim;
  readonly connector: OutboundConnector;
  readonly report: DeliveryReport;
  readonly settled: readonly RecipientSettlement[];
};

/** A claim settled for good, with the notices that went into the queue with it. */
export type Settled = Finished & { readonly notices: readonly MadeNotice[] };

/** What the scheduler works with. */
export type SchedulerContext = {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly random: Random;
  /** Relay threads that share the limits. */
  readonly threads: number;
  config(): Config;
  /** The first connector that matches, read at every attempt. */
  choose(claim: Claim, config: Config): OutboundConnector;
  attempt(claim: Claim, order: { readonly connector: OutboundConnector; readonly config: Config }): Promise<AttemptResult>;
  /** Renders the notices the settlement calls for. */
  notices(finished: Finished, config: Config): Promise<readonly MadeNotice[]>;
  /** Tells the world; called once the settlement is durable. */
  settled(settled: Settled): void;
  /** A bug or a broken spool: told, never thrown. */
  fault(what: string, error: unknown): void;
};

/** How long a claim is ours without renewal. */
export const LEASE: Milliseconds = 15 * 60_000;
/** Claims held by the thread at most, in all and of one destination. */
const MAX_HELD = 4000;
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const MAX_WAITING_EACH = 200;
const CLAIM_PAGE = 100;
/** Attempts under way at most: bounds sockets. */
const MAX_ACTIVE = 5000;
/** Destinations kept between attempts at most. */
const MAX_DESTINATIONS = 50_000;

/** Numbers for status and metrics. */
export type SchedulerCounts = { readonly held: number; readonly active: number; readonly destinations: number };

export class Scheduler {
  readonly #context: SchedulerContext;
  readonly #destinations = new Map<string, Destination>();
  readonly #held = new Set<Claim>();
  readonly #timers = new Map<Destination, NodeJS.Timeout>();
  readonly #stop = new AbortController();
  #heldBytes = 0;
  #active = 0;
  #park: AbortController | null = null;
  #parkedWithout: ReadonlySet<string> = new Set();
  #renewal: NodeJS.Timeout | null = null;
  #idle: (() => void) | null = null;
  #running: Promise<void> | null = null;

  constructor(context: SchedulerContext) {
    this.#context = context;
  }

  counts(): SchedulerCounts {
    return { held: this.#held.size, active: this.#active, destinations: this.#destinations.size };
  }

  /** True where a message of this size may be claimed at birth: memory is left for it. */
  mayClaim(bytes: number): boolean {
    return !this.#stop.signal.aborted && this.#held.size < MAX_HELD && this.#heldBytes + bytes < MAX_HELD_BYTES;
  }

  /** Takes claims born in this thread. */
  offer(claims: readonly Claim[]): void {
    for (const claim of claims) this.#admit(claim);
  }

  /** Begins to take what is due. */
  start(): void {
    this.#renewal = setInterval(() => void this.#renew(), LEASE / 3).unref();
    this.#running = this.#pull().catch((error: unknown) => this.#context.fault('claiming from the spool', error));
  }

  /** Takes nothing new, gives back what waits, and waits for the attempts under way; the caller ends those that take too long. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#park?.abort();
    clearInterval(this.#renewal ?? undefined);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#running;
    const waiting = [...this.#destinations.values()].flatMap((destination) => destination.drain());
    await this.#release(waiting);
    if (this.#active > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  async #pull(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const free = Math.min(CLAIM_PAGE, MAX_HELD - this.#held.size);
      const full = this.#fullDomains();
      this.#park = new AbortController();
      this.#parkedWithout = new Set(full);
      if (free <= 0) await aborted(this.#park.signal);
      else {
        const request = { limit: free, perDestination: Math.min(20, free), except: full, leaseFor: LEASE };
        for (const claim of await this.#context.spool.claim(request, this.#park.signal)) this.#admit(claim);
      }
    }
  }

  /** Recipient domains of which this thread holds enough. */
  #fullDomains(): readonly Domain[] {
    const domains = new Set<Domain>();
    for (const destination of this.#destinations.values())
      if (destination.waiting >= MAX_WAITING_EACH / 2) for (const domain of destination.domains()) domains.add(domain);
    return [...domains];
  }

  #admit(claim: Claim): void {
    const config = this.#context.config();
    const connector = this.#context.choose(claim, config);
    const key = connector.route.kind === 'mx' ? `${connector.name} ${claim.domain}` : connector.name;
    let destination = this.#destinations.get(key);
    if (destination === undefined) {
      destination = new Destination(key);
      this.#destinations.set(key, destination);
    }
    if (this.#stop.signal.aborted || destination.waiting >= MAX_WAITING_EACH * 10) {
      void this.#context.spool.release([claim]);
      return;
    }
    this.#held.add(claim);
    this.#heldBytes += memoryOf(claim);
    destination.add({ claim, connector });
    this.#run(destination);
  }

  /** Starts what may go now. */
  #run(destination: Destination): void {
    const { clock, threads } = this.#context;
    while (this.#active < MAX_ACTIVE) {
      const next = destination.next({ now: clock.now(), monotonic: clock.monotonic(), threads });
      if (next === null) return;
      if (typeof next === 'number') return this.#runLater(destination, next);
      destination.active += 1;
      this.#active += 1;
      void this.#attempt(destination, next);
    }
  }

  #runLater(destination: Destination, wait: Milliseconds): void {
    if (this.#timers.has(destination)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(destination);
      this.#run(destination);
    }, wait);
    this.#timers.set(destination, timer.unref());
  }

  async #attempt(destination: Destination, { claim, connector }: Ready): Promise<void> {
    try {
      const config = this.#context.config();
      const { report, reached } = await this.#context.attempt(claim, { connector, config });
      if (reached) this.#reached(destination, claim);
      else await this.#unreachable(destination, { claim, connector });
      await this.#settle({ claim, connector, report }, config);
    } catch (error) {
      // The lease runs out and the message is tried again: nothing is lost by a bug here.
      this.#context.fault(`attempt of ${claim.queueId}`, error);
    } finally {
      this.#done(destination, claim);
    }
  }

  #done(destination: Destination, claim: Claim): void {
    destination.active -= 1;
    this.#active -= 1;
    this.#letGo(claim);
    if (!this.#stop.signal.aborted) this.#run(destination);
    if (destination.active === 0 && destination.waiting === 0 && destination.failures === 0)
      this.#destinations.delete(destination.key);
    if (this.#active === 0) this.#idle?.();
    // A parked claim left out domains of which there were enough: ask again once they run low.
    if (this.#parkedWithout.has(claim.domain) && destination.waiting < MAX_WAITING_EACH / 4) this.#park?.abort();
    else if (this.#held.size === MAX_HELD - CLAIM_PAGE) this.#park?.abort();
  }

  async #settle(done: Omit<Finished, 'settled'>, config: Config): Promise<void> {
    const { clock, random, spool } = this.#context;
    const { claim, connector, report } = done;
    const facts = { receivedAt: claim.envelope.receivedAt, now: clock.now(), schedule: connector.retry, chance: random() };
    const settled: RecipientSettlement[] = [];
    for (const claimed of claim.recipients) {
      const outcome = report.outcomes.get(claimed.number);
      if (outcome !== undefined) settled.push(settleRecipient(claimed, outcome, facts));
    }
    if (!isNonEmpty(settled)) return;
    const finished: Finished = { ...done, settled };
    const notices = await this.#context.notices(finished, config);
    const result = await spool.settle({
      queueId: claim.queueId,
      domain: claim.domain,
      fence: claim.fence,
      connector: connector.name,
      recipients: settled,
      notices: notices.map(({ message }) => message),
    });
    if (!result.ok) this.#context.fault(`settling ${claim.queueId}`, result.error.detail);
    this.#context.settled({ ...finished, notices });
  }

  #reached(destination: Destination, claim: Claim): void {
    if (destination.failures === 0) return;
    destination.markUp();
    void this.#context.spool.markDestination({ domain: claim.domain, until: 0 as ReturnType<Clock['now']> });
  }

  /** The destination is retried, not its messages: those that wait go back, untouched, until it may be tried again. */
  async #unreachable(destination: Destination, { claim, connector }: Ready): Promise<void> {
    const until = destination.markDown(connector, this.#context.clock.now());
    const waiting = destination.drain();
    const domains = new Set([claim.domain, ...waiting.map((ready) => ready.claim.domain)]);
    for (const domain of domains) await this.#context.spool.markDestination({ domain, until });
    await this.#release(waiting);
  }

  async #release(waiting: readonly Ready[]): Promise<void> {
    if (waiting.length === 0) return;
    for (const { claim } of waiting) this.#letGo(claim);
    await this.#context.spool.release(waiting.map(({ claim }) => claim));
  }

  #letGo(claim: Claim): void {
    if (this.#held.delete(claim)) this.#heldBytes -= memoryOf(claim);
  }

  async #renew(): Promise<void> {
    const aging = [...this.#held];
    if (aging.length > 0) await this.#context.spool.renew(aging, LEASE);
    if (this.#destinations.size > MAX_DESTINATIONS) this.#forgetIdle();
  }

  /** The spool remembers who is down; what is kept here is only how often in a row. */
  #forgetIdle(): void {
    for (const [key, destination] of this.#destinations)
      if (destination.active === 0 && destination.waiting === 0) this.#destinations.delete(key);
  }
}

const memoryOf = (claim: Claim): number => (claim.body.kind === 'memory' ? claim.body.wire.byteLength : 0) + 1024;

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
