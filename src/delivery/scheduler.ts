/**
 * When what is tried: takes claims, fresh ones from the listeners and due ones from the spool, lets each destination have its
 * share of connections, has attempts made and settles them. One for each relay thread.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { Claim } from '../domain/queue.ts';
import type { AttemptResult } from './attempt.ts';
import { Destination, type Ready, type Trouble } from './destination.ts';
import { HeldClaims } from './held-claims.ts';
import { Intake } from './intake.ts';
import { decideWhileDown, scheduleFor } from './retry-policy.ts';
import { type SettleContext, settleClaim } from './settle-claim.ts';
import { troubleOf, untried } from './untried.ts';

/** What the scheduler works with. */
export type SchedulerContext = SettleContext & {
  /** Relay threads that share the limits. */
  readonly threads: number;
  config(): Config;
  /** The first connector that matches, read at every attempt. */
  choose(claim: Claim, config: Config): OutboundConnector;
  attempt(claim: Claim, order: { readonly connector: OutboundConnector; readonly config: Config }): Promise<AttemptResult>;
};

/** How long a claim is ours without renewal. */
export const LEASE: Milliseconds = 15 * 60_000;
/** Claims held by the thread at most, in all and waiting for one destination. */
const MAX_HELD = 4000;
const MAX_HELD_BYTES = 64 * 1024 * 1024;
const MAX_WAITING_EACH = 2000;
/** Attempts under way at most: bounds sockets. */
const MAX_ACTIVE = 5000;
/** Destinations kept between attempts at most. */
const MAX_DESTINATIONS = 50_000;

/** Numbers for status and metrics. */
export type SchedulerCounts = { readonly held: number; readonly active: number; readonly destinations: number };

export class Scheduler {
  readonly #context: SchedulerContext;
  readonly #destinations = new Map<string, Destination>();
  readonly #held = new HeldClaims();
  readonly #intake: Intake;
  readonly #timers = new Map<Destination, NodeJS.Timeout>();
  /** Destinations that could go on if the thread had a line left. */
  readonly #queueing = new Set<Destination>();
  readonly #stop = new AbortController();
  /** The time for stopping is over. */
  readonly #over = new AbortController();
  #active = 0;
  /** Claims being settled without an attempt. */
  #settling = 0;
  #renewal: NodeJS.Timeout | null = null;
  #idle: (() => void) | null = null;
  #running: Promise<void> | null = null;

  constructor(context: SchedulerContext) {
    this.#context = context;
    this.#intake = new Intake({
      spool: context.spool,
      leaseFor: LEASE,
      room: () => MAX_HELD - this.#held.size,
      destinations: () => this.#destinations.values(),
      admit: (claim) => this.#admit(claim),
    });
  }

  counts(): SchedulerCounts {
    return { held: this.#held.size, active: this.#active, destinations: this.#destinations.size };
  }

  /** True where a message of this size may be claimed at birth: memory is left for it. */
  mayClaim(bytes: number): boolean {
    return !this.#stop.signal.aborted && this.#held.size < MAX_HELD && this.#held.bytes + bytes < MAX_HELD_BYTES;
  }

  /** Takes claims born in this thread. */
  offer(claims: readonly Claim[]): void {
    for (const claim of claims) this.#admit(claim);
  }

  /** Begins to take what is due. */
  start(): void {
    this.#renewal = setInterval(() => void this.#renew(), LEASE / 3).unref();
    this.#running = this.#intake
      .run(this.#stop.signal)
      .catch((error: unknown) => this.#context.fault('claiming from the spool', error));
  }

  /**
   * Takes nothing new, gives back what waits, and waits for the attempts under way, settlements included. `deadline`: settlements
   * the spool does not take are given up from then on; the caller ends attempts that take too long.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    if (deadline.aborted) this.#over.abort();
    else deadline.addEventListener('abort', () => this.#over.abort(), { once: true });
    this.#stop.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#running;
    const waiting = [...this.#destinations.values()].flatMap((destination) => destination.drain());
    for (const { claim } of waiting) this.#held.remove(claim);
    if (waiting.length > 0) await this.#context.spool.release(waiting.map(({ claim }) => claim));
    if (!this.#isIdle()) await new Promise<void>((resolve) => (this.#idle = resolve));
    clearInterval(this.#renewal ?? undefined);
  }

  #isIdle(): boolean {
    return this.#active === 0 && this.#settling === 0;
  }

  #admit(claim: Claim): void {
    const connector = this.#context.choose(claim, this.#context.config());
    const destination = this.#destinationOf(claim, connector);
    if (this.#stop.signal.aborted || destination.waiting >= MAX_WAITING_EACH) {
      void this.#context.spool.release([claim]);
      return;
    }
    this.#held.add(claim);
    const ready = { claim, connector };
    const trouble = destination.trouble(this.#context.clock.now());
    if (trouble === null) this.#enqueue(destination, ready);
    else if (this.#whileDown(destination, ready, trouble)) this.#giveBack(destination, [ready]);
  }

  #destinationOf(claim: Claim, connector: OutboundConnector): Destination {
    const key = connector.route.kind === 'mx' ? `${connector.name} ${claim.domain}` : connector.name;
    let destination = this.#destinations.get(key);
    if (destination === undefined) {
      destination = new Destination(key);
      this.#destinations.set(key, destination);
    }
    return destination;
  }

  #enqueue(destination: Destination, ready: Ready): void {
    destination.add(ready);
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
    if (destination.waiting > 0) this.#queueing.add(destination);
  }

  #runLater(destination: Destination, wait: Milliseconds): void {
    if (this.#timers.has(destination)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(destination);
      this.#run(destination);
    }, wait);
    this.#timers.set(destination, timer.unref());
  }

  async #attempt(destination: Destination, ready: Ready): Promise<void> {
    const { claim } = ready;
    try {
      // Both of one configuration, read now: the claim may have waited while another was loaded.
      const config = this.#context.config();
      const connector = this.#context.choose(claim, config);
      const { report, reached } = await this.#context.attempt(claim, { connector, config });
      if (reached) this.#reached(destination, claim);
      else this.#unreachable(destination, ready, troubleOf(report));
      await settleClaim({ claim, connector, report, downUntil: null }, { config, over: this.#over.signal }, this.#context);
    } catch (error) {
      // The lease runs out and the message is tried again: nothing is lost by a bug here.
      this.#context.fault(`attempt of ${claim.queueId}`, error);
    } finally {
      destination.active -= 1;
      this.#active -= 1;
      this.#done(destination, claim);
    }
  }

  #done(destination: Destination, claim: Claim): void {
    this.#held.remove(claim);
    if (!this.#stop.signal.aborted) this.#runNext(destination);
    if (destination.active === 0 && destination.waiting === 0 && destination.failures === 0)
      this.#destinations.delete(destination.key);
    this.#intake.loosened(destination);
    if (this.#isIdle()) this.#idle?.();
  }

  /** A line is free: whoever has waited longest for one goes first. */
  #runNext(destination: Destination): void {
    for (const first of this.#queueing) {
      this.#queueing.delete(first);
      this.#run(first);
      break;
    }
    this.#run(destination);
  }

  #reached(destination: Destination, claim: Claim): void {
    if (destination.failures === 0 && claim.attention !== true) return;
    const { clock, spool } = this.#context;
    for (const domain of new Set([claim.domain, ...destination.markUp(clock.now())]))
      void spool.markDestination({ domain, until: 0 as Instant });
  }

  /** The destination is retried, not its messages: those that wait go back, untouched, until it may be tried again. */
  #unreachable(destination: Destination, { claim, connector }: Ready, trouble: Trouble): void {
    destination.markDown(connector, this.#context.clock.now(), trouble);
    this.#mark(destination, claim.domain);
    const back = destination.drain().filter((ready) => this.#whileDown(destination, ready, trouble));
    this.#giveBack(destination, back);
  }

  /** Tells the spool, once for each domain. */
  #mark(destination: Destination, domain: Domain): void {
    if (!destination.askMark(domain)) return;
    const until = destination.downUntil;
    void this.#context.spool.markDestination({ domain, until }).then(() => destination.tellMark(domain, until));
  }

  /** Sees to a claim whose destination is down; true where it is to be given back. */
  #whileDown(destination: Destination, ready: Ready, trouble: Trouble): boolean {
    const { claim, connector } = ready;
    const schedule = scheduleFor(claim.envelope, connector.retry);
    const age = { receivedAt: claim.envelope.receivedAt, now: this.#context.clock.now(), schedule };
    switch (decideWhileDown(claim, { ...age, markedUp: destination.isMarked(claim.domain) })) {
      case 'settle':
        void this.#settleUntried(destination, ready, trouble);
        return false;
      case 'try':
        destination.reconsider();
        this.#enqueue(destination, ready);
        return false;
      case 'release':
        return true;
    }
  }

  async #settleUntried(destination: Destination, { claim, connector }: Ready, trouble: Trouble): Promise<void> {
    const { clock, config, fault } = this.#context;
    this.#settling += 1;
    try {
      const ended = { ...untried(claim, trouble, clock.now()), connector, downUntil: destination.downUntil };
      await settleClaim(ended, { config: config(), over: this.#over.signal }, this.#context);
    } catch (error) {
      fault(`settling ${claim.queueId} without an attempt`, error);
    } finally {
      this.#settling -= 1;
      this.#done(destination, claim);
    }
  }

  /** Gives back what is to wait with its destination. The spool hears of that first, or it would hand it out again. */
  #giveBack(destination: Destination, waiting: readonly Ready[]): void {
    if (waiting.length === 0) return;
    for (const { claim } of waiting) {
      this.#mark(destination, claim.domain);
      this.#held.remove(claim);
    }
    void this.#context.spool.release(waiting.map(({ claim }) => claim));
    this.#intake.loosened(destination);
  }

  async #renew(): Promise<void> {
    if (this.#held.size > 0) await this.#context.spool.renew(this.#held.list(), LEASE);
    if (this.#destinations.size > MAX_DESTINATIONS) this.#forgetIdle();
  }

  /** The spool remembers who is down; what is kept here is only how often in a row. */
  #forgetIdle(): void {
    for (const [key, destination] of this.#destinations)
      if (destination.active === 0 && destination.waiting === 0) this.#destinations.delete(key);
  }
}
