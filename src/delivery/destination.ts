/**
 * The claims one thread holds for one destination (a connector's route), and its pace: how many go at once, until when it is
 * down. Keeps count; scheduler.ts acts.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { AttemptPath, DeliveryFailure } from '../domain/outcome.ts';
import type { Claim } from '../domain/queue.ts';
import { type Bucket, connectionsAllowed, downUntil, takeToken } from './pace-policy.ts';

/** A claim with the connector chosen for it. */
export type Ready = { readonly claim: Claim; readonly connector: OutboundConnector };

/** What the last attempt that reached no host met. */
export type Trouble = { readonly failure: DeliveryFailure; readonly path: AttemptPath };

/** Domains whose mark in the spool is remembered: bounds the memory of a smarthost that carries a great many. */
const MAX_MARKS = 10_000;

export class Destination {
  readonly key: string;
  /** Attempts under way. */
  active = 0;
  /** Attempts in a row that reached no host. */
  failures = 0;
  /** No attempt before this moment. */
  downUntil = 0 as Instant;
  #trouble: Trouble | null = null;
  /** Recipient domains the spool was told are down until `#marksUntil`; 'told' once it has taken that in. */
  readonly #marks = new Map<Domain, 'asked' | 'told'>();
  #marksUntil = 0 as Instant;
  #queue: Ready[] = [];
  #head = 0;
  #bucket: Bucket = { tokens: 1, at: 0 };

  constructor(key: string) {
    this.key = key;
  }

  /** Claims waiting their turn. */
  get waiting(): number {
    return this.#queue.length - this.#head;
  }

  add(ready: Ready): void {
    this.#queue.push(ready);
  }

  /** The next claim if one may go now; a wait in milliseconds if the rate limit holds it; null if none waits or all lines are busy. */
  next(facts: {
    readonly now: Instant;
    readonly monotonic: Milliseconds;
    readonly threads: number;
  }): Ready | Milliseconds | null {
    const ready = this.#queue[this.#head];
    if (ready === undefined || facts.now < this.downUntil) return null;
    const { limits } = ready.connector;
    if (this.active >= connectionsAllowed(limits, { failures: this.failures, threads: facts.threads })) return null;
    if (limits.messagesPerMinute !== null) {
      const { bucket, wait } = takeToken(this.#bucket, limits.messagesPerMinute / facts.threads, facts.monotonic);
      this.#bucket = bucket;
      if (wait > 0) return wait;
    }
    this.#head += 1;
    if (this.#head > 256 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return ready;
  }

  /** Recipient domains of what waits. */
  domains(): ReadonlySet<Domain> {
    return new Set(this.#queue.slice(this.#head).map(({ claim }) => claim.domain));
  }

  /** Takes everything that waits. */
  drain(): readonly Ready[] {
    const all = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    return all;
  }

  /**
   * Notes that no host could be reached; returns until when the destination is left alone. Attempts that ran side by side and
   * failed together count once.
   */
  markDown(connector: OutboundConnector, now: Instant, trouble: Trouble): Instant {
    if (now < this.downUntil) return this.downUntil;
    this.failures += 1;
    this.downUntil = downUntil(connector.retry, this.failures, now);
    this.#trouble = trouble;
    this.#marks.clear();
    this.#marksUntil = this.downUntil;
    return this.downUntil;
  }

  /** What the destination was marked down with; null where it is not down. */
  trouble(now: Instant): Trouble | null {
    return now < this.downUntil ? this.#trouble : null;
  }

  /** Notes that the spool is being told; true where it was not yet. */
  askMark(domain: Domain): boolean {
    if (this.#marks.has(domain)) return false;
    if (this.#marks.size < MAX_MARKS) this.#marks.set(domain, 'asked');
    return true;
  }

  /** Notes that the spool has taken in the mark of that time. */
  tellMark(domain: Domain, until: Instant): void {
    if (this.#marksUntil === until && this.#marks.has(domain)) this.#marks.set(domain, 'told');
  }

  /** True where the spool knows that the domain is down: what it hands out of it now, it hands out because it is up again. */
  isMarked(domain: Domain): boolean {
    return this.#marks.get(domain) === 'told';
  }

  /** The destination may be tried before its time, by one connection. */
  reconsider(): void {
    this.downUntil = 0 as Instant;
  }

  /** Notes that a host answered; returns the domains the spool still takes for down. */
  markUp(now: Instant): readonly Domain[] {
    const marked = now < this.#marksUntil ? [...this.#marks.keys()] : [];
    this.failures = 0;
    this.downUntil = 0 as Instant;
    this.#trouble = null;
    this.#marks.clear();
    return marked;
  }
}
