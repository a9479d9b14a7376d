/** A clock the test moves by hand. */
import type { Clock, Instant, Milliseconds } from '../../src/domain/basics.ts';

export type TestClock = Clock & { advance(by: Milliseconds): void };

/** Starts at `start` (milliseconds since the epoch) and stands still until moved. */
export function testClock(start = Date.UTC(2026, 0, 1)): TestClock {
  let now = start;
  const advance = (by: Milliseconds): void => {
    now += by;
  };
  return { now: () => now as Instant, monotonic: () => now - start, advance };
}

/** The real one. */
export const systemClock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };
