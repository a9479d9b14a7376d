/**
 * How soon a thread that died is started again: at once after a long life, ever later while it keeps dying young.
 */
import type { Milliseconds } from '../domain/basics.ts';

const FIRST_DELAY = 100;
const LONGEST_DELAY = 30_000;
/** A thread that lived this long starts with a clean slate. */
const LONG_LIFE = 60_000;

/** How many early deaths in a row there are after this one. */
export const earlyDeaths = (before: number, lived: Milliseconds): number => (lived >= LONG_LIFE ? 1 : before + 1);

/** The wait before the next start, after so many early deaths in a row: 100 ms doubled each time, half a minute at most. */
export const restartDelay = (deaths: number): Milliseconds =>
  Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(Math.max(0, deaths - 1), 20));
