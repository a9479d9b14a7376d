/**
 * Idle sessions by key, most recently used first. Keeps and hands out; what may share a key is pool-key-policy.ts's business.
 * States of a pooled session: idle ⇄ busy → closed; only a session known to be clean returns to idle.
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';
import type { Session } from './session.ts';

/** A session with what the pool keeps of it. */
export type Pooled = {
  readonly session: Session;
  readonly key: string;
  /** Messages carried, this one included once it is delivered. */
  messages: number;
  /** Monotonic milliseconds since it lies idle. */
  idleSince: Milliseconds;
};

/** How long an unused session is kept. Most servers close after minutes; being first keeps their logs clean. */
const IDLE_LIMIT: Milliseconds = 10_000;

/** The sessions of one thread. */
export class Pool {
  readonly #clock: Clock;
  readonly #idle = new Map<string, Pooled[]>();
  #sweeper: NodeJS.Timeout | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An idle session for this key, or null. The caller owns it until `giveBack` or its end. */
  take(key: string): Pooled | null {
    const list = this.#idle.get(key);
    for (let pooled = list?.pop(); pooled !== undefined; pooled = list?.pop()) {
      if (list?.length === 0) this.#idle.delete(key);
      if (pooled.session.alive) return pooled;
    }
    return null;
  }

  /** Takes a clean session in. */
  giveBack(pooled: Pooled): void {
    if (!pooled.session.alive) return;
    pooled.idleSince = this.#clock.monotonic();
    const list = this.#idle.get(pooled.key);
    if (list === undefined) this.#idle.set(pooled.key, [pooled]);
    else list.push(pooled);
    this.#sweeper ??= setInterval(() => this.#sweep(), 1000).unref();
  }

  /** How many sessions lie idle. */
  get idle(): number {
    let count = 0;
    for (const list of this.#idle.values()) count += list.length;
    return count;
  }

  /** Says QUIT to all that is idle. */
  close(): void {
    for (const list of this.#idle.values()) for (const { session } of list) void session.quit();
    this.#idle.clear();
    clearInterval(this.#sweeper ?? undefined);
    this.#sweeper = null;
  }

  #sweep(): void {
    const oldest = this.#clock.monotonic() - IDLE_LIMIT;
    for (const [key, list] of this.#idle) {
      const kept = list.filter(({ session, idleSince }) => session.alive && idleSince > oldest);
      for (const pooled of list) if (!kept.includes(pooled)) void pooled.session.quit();
      if (kept.length === 0) this.#idle.delete(key);
      else this.#idle.set(key, kept);
    }
    if (this.#idle.size > 0) return;
    clearInterval(this.#sweeper ?? undefined);
    this.#sweeper = null;
  }
}
