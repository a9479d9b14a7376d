/**
 * Wakes destinations that wait for a moment: a rate limit's next permission, the end of being down. At most one timer for each.
 */
import type { Clock, Milliseconds } from '../domain/basics.ts';
import type { Destination } from './destination.ts';

/** Longer waits are cut: whoever is woken too soon asks for the rest. */
const LONGEST_TIMER: Milliseconds = 24 * 60 * 60_000;

export class DestinationTimers {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #wake: (destination: Destination) => void;
  readonly #timers = new Map<Destination, { readonly timer: NodeJS.Timeout; readonly at: Milliseconds }>();

  constructor(clock: Pick<Clock, 'monotonic'>, wake: (destination: Destination) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes the destination after `wait` milliseconds, unless it is woken sooner anyway. */
  set(destination: Destination, wait: Milliseconds): void {
    const at = this.#clock.monotonic() + wait;
    const known = this.#timers.get(destination);
    if (known !== undefined && known.at <= at) return;
    clearTimeout(known?.timer);
    const timer = setTimeout(() => this.#ring(destination), Math.min(wait, LONGEST_TIMER));
    this.#timers.set(destination, { timer: timer.unref(), at });
  }

  #ring(destination: Destination): void {
    this.#timers.delete(destination);
    this.#wake(destination);
  }

  /** Wakes nobody any more. */
  close(): void {
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
