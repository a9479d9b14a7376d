/**
 * Deadlines of many connections watched by one timer: arming one is a number's assignment, not a timer.
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';

/** Something that must get on before `deadline` (monotonic milliseconds; Infinity: none). */
export type Watched = { deadline: Milliseconds; expire(): void };

const LONGEST_SWEEP: Milliseconds = 1000;

/** Sweeps as often as the shortest patience it serves needs, at most a second apart; silent while nothing is watched. */
export class Deadlines {
  readonly #clock: Clock;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | null = null;
  #interval = LONGEST_SWEEP;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Watches `item` until `unwatch`; `shortest` is the shortest patience it will ask for. */
  watch(item: Watched, shortest: Milliseconds): void {
    this.#watched.add(item);
    const wanted = Math.max(10, Math.min(LONGEST_SWEEP, shortest / 4));
    if (this.#timer !== null && wanted >= this.#interval) return;
    this.#interval = Math.min(this.#interval, wanted);
    clearInterval(this.#timer ?? undefined);
    this.#timer = setInterval(() => this.#sweep(), this.#interval);
    this.#timer.unref();
  }

  /** The moment `patience` from now, to be assigned to `deadline`. */
  from(patience: Milliseconds): Milliseconds {
    return this.#clock.monotonic() + patience;
  }

  unwatch(item: Watched): void {
    this.#watched.delete(item);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer ?? undefined);
    this.#timer = null;
    this.#interval = LONGEST_SWEEP;
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    for (const item of this.#watched) if (item.deadline <= now) item.expire();
  }
}
