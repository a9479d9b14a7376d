/**
 * The claims one thread holds for one destination (a connector's route), and its pace: how many go at once, until when it is
 * down. Keeps count; scheduler.ts acts.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { OutboundConnector } from '../domain/connector.ts';
import type { Claim } from '../domain/queue.ts';
import { type Bucket, connectionsAllowed, downUntil, takeToken } from './pace-policy.ts';

/** A claim with the connector chosen for it. */
export type Ready = { readonly claim: Claim; readonly connector: OutboundConnector };

export class Destination {
  readonly key: string;
  /** Attempts under way. */
  active = 0;
  /** Attempts in a row that reached no host. */
  failures = 0;
  /** No attempt before this moment. */
  downUntil = 0 as Instant;
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
  markDown(connector: OutboundConnector, now: Instant): Instant {
    if (now < this.downUntil) return this.downUntil;
    this.failures += 1;
    this.downUntil = downUntil(connector.retry, this.failures, now);
    return this.downUntil;
  }

  /** Notes that a host answered; true if it had been down. */
  markUp(): boolean {
    const wasDown = this.failures > 0;
    this.failures = 0;
    this.downUntil = 0 as Instant;
    return wasDown;
  }
}
