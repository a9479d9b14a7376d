/**
 * The smallest words of the house: time, chance, results. Imports nothing.
 */

declare const brand: unique symbol;
/** A `T` that was proven to be a `Name`; made only by the parser that proves it. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Milliseconds since 1970-01-01T00:00:00Z on the wall clock. */
export type Instant = Branded<number, 'Instant'>;
/** A length of time in milliseconds. */
export type Milliseconds = number;

/** Where a flow learns the time. `now` is the wall clock (may jump), `monotonic` only ever grows (for timers and durations). */
export type Clock = { now(): Instant; monotonic(): Milliseconds };
/** Where a flow gets chance: a number in [0, 1). */
export type Random = () => number;

/** An expected failure is a value. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };
/** A list that has a first element. */
export type NonEmpty<T> = readonly [T, ...T[]];

/** `value` as a success. */
export const ok = <T>(value: T): { readonly ok: true; readonly value: T } => ({ ok: true, value });
/** `error` as an expected failure. */
export const err = <E>(error: E): { readonly ok: false; readonly error: E } => ({ ok: false, error });

/** True where the list has a first element. */
export const isNonEmpty = <T>(list: readonly T[]): list is NonEmpty<T> => list.length > 0;

/** The moment `length` after `start`. */
export const after = (start: Instant, length: Milliseconds): Instant => (start + length) as Instant;

/** The end of a switch that handled every case. Reaching it is a bug. */
export function assertNever(value: never): never {
  throw new Error(`unhandled case: ${JSON.stringify(value)}`);
}
