/**
 * A bounded map whose entries end at a time: the data structure of caches. It has no clock; the time comes in with every call, in
 * milliseconds of any one clock.
 */
import type { Milliseconds } from './basics.ts';

/** Keeps at most `capacity` entries; the one not read for the longest gives way. */
export type ExpiringMap<K, V> = {
  /** The value, or undefined where there is none whose time has not come. */
  get(key: K, now: Milliseconds): V | undefined;
  /** Keeps the value until `until`; a time not in the future keeps nothing. */
  set(key: K, value: V, until: { readonly now: Milliseconds; readonly lifetime: Milliseconds }): void;
};

/** An empty map for `capacity` entries. */
export function createExpiringMap<K, V>(capacity: number): ExpiringMap<K, V> {
  // A Map iterates in order of insertion: reading an entry moves it to the end, so the first is the one unread for the longest.
  const entries = new Map<K, { readonly value: V; readonly until: Milliseconds }>();
  let newest: K | undefined;
  return {
    get(key, now) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.until <= now) {
        entries.delete(key);
        return undefined;
      }
      if (key !== newest) {
        entries.delete(key);
        entries.set(key, entry);
        newest = key;
      }
      return entry.value;
    },
    set(key, value, { now, lifetime }) {
      entries.delete(key);
      if (lifetime <= 0) return;
      if (entries.size >= capacity) {
        const oldest = entries.keys().next();
        if (!oldest.done) entries.delete(oldest.value);
      }
      entries.set(key, { value, until: now + lifetime });
      newest = key;
    },
  };
}
