/**
 * Which destination has something due, and when, or, while it is down, something that must be looked at all the same: one small
 * entry a destination, however many messages wait for it.
 * Ready destinations stand in line and are served in turn; the others lie in a heap by the time they wake.
 * A cache of the database, rebuilt from it after a rollback.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';

/** See the functions' comments; times are on the wall clock. */
export type DueIndex = {
  /**
   * Something for the domain is due at `due` and must be looked at by `attention`; null: that has to be found out. Never moves a
   * destination to a later time.
   */
  offer(domain: Domain, due: Instant, attention: Instant | null): void;
  /** The earliest due of the domain is exactly `due`; null: nothing is queued for it. */
  reset(domain: Domain, due: Instant | null): void;
  /** The earliest attention time of the domain is exactly `attention`; null: nothing is queued for it. */
  resetAttention(domain: Domain, attention: Instant | null): void;
  /** Nothing for the domain wakes before `until`, but for attention. */
  setDown(domain: Domain, until: Instant): void;
  /** Nothing at all for the domain wakes before `until`: its rows cannot be read. Survives `clear`. */
  leaveAlone(domain: Domain, until: Instant): void;
  /** The time before which the domain must not be tried, null where it is up. */
  downUntil(domain: Domain, now: Instant): Instant | null;
  /** The destination whose turn it is, put at the end of the line; null where none is ready or all are skipped. */
  next(now: Instant, skip: (domain: Domain) => boolean): Domain | null;
  /** How many are ready, as of the last `next`. */
  ready(): number;
  /** When the next destination that is not ready wakes, null where none will. */
  wakes(): Instant | null;
  /** Forgets downs that are over and destinations without mail. */
  prune(now: Instant): void;
  clear(): void;
};

/** `attention` is a lower bound: looked up only where the destination is down, and then set right. */
type Destination = {
  readonly domain: Domain;
  due: number;
  attention: number;
  down: number;
  wake: number;
  place: number;
};
const NEVER = Number.POSITIVE_INFINITY;
/** `place` of a destination that is not in the heap. */
const OUT = -1;

/** A binary heap of destinations by `wake`, each knowing its place. */
function createHeap() {
  const heap: Destination[] = [];
  const put = (entry: Destination, place: number): void => {
    heap[place] = entry;
    entry.place = place;
  };
  const rise = (entry: Destination, from: number): void => {
    let place = from;
    while (place > 0) {
      const parent = heap[(place - 1) >> 1];
      if (parent === undefined || parent.wake <= entry.wake) break;
      put(parent, place);
      place = (place - 1) >> 1;
    }
    put(entry, place);
  };
  const sink = (entry: Destination, from: number): void => {
    let place = from;
    for (;;) {
      const left = heap[2 * place + 1];
      const right = heap[2 * place + 2];
      const child = left !== undefined && right !== undefined && right.wake < left.wake ? right : left;
      if (child === undefined || child.wake >= entry.wake) break;
      const next = child.place;
      put(child, place);
      place = next;
    }
    put(entry, place);
  };
  const remove = (entry: Destination): void => {
    const place = entry.place;
    const last = heap.pop();
    entry.place = OUT;
    if (last === undefined || last === entry) return;
    rise(last, place);
    sink(last, last.place);
  };
  const add = (entry: Destination): void => {
    heap.push(entry);
    rise(entry, heap.length - 1);
  };
  return { add, remove, top: (): Destination | undefined => heap[0], clear: (): void => void heap.splice(0) };
}

/** An empty index. */
export function createDueIndex(): DueIndex {
  const known = new Map<Domain, Destination>();
  const heap = createHeap();
  const line = new Set<Destination>();
  /** Until when destinations that cannot be read are left alone. Usually empty. */
  const alone = new Map<Domain, number>();
  /** The latest time `next` was asked for: what woke by then stands in line. */
  let seen = 0;

  const find = (domain: Domain): Destination => {
    let entry = known.get(domain);
    if (entry === undefined) {
      entry = { domain, due: NEVER, attention: NEVER, down: 0, wake: NEVER, place: OUT };
      known.set(domain, entry);
    }
    return entry;
  };
  const wakeOf = (entry: Destination): number => {
    const tried = Math.max(entry.due, entry.down);
    // Once a down is over, attention counts for nothing: what is due is tried.
    const wake = entry.down > seen ? Math.min(tried, entry.attention) : tried;
    return alone.size === 0 ? wake : Math.max(wake, alone.get(entry.domain) ?? 0);
  };
  const place = (entry: Destination): void => {
    const wake = wakeOf(entry);
    if (line.has(entry)) {
      entry.wake = wake;
      if (wake <= seen) return;
      line.delete(entry);
    } else if (entry.place !== OUT) {
      if (wake === entry.wake) return;
      heap.remove(entry);
    }
    entry.wake = wake;
    if (wake !== NEVER) heap.add(entry);
    else if (entry.down <= seen) known.delete(entry.domain);
  };
  const promote = (now: Instant): void => {
    seen = now;
    for (let top = heap.top(); top !== undefined && top.wake <= now; top = heap.top()) {
      heap.remove(top);
      line.add(top);
    }
  };

  return {
    offer(domain, due, attention) {
      const entry = find(domain);
      if (due >= entry.due && (attention ?? 0) >= entry.attention) return;
      if (due < entry.due) entry.due = due;
      if ((attention ?? 0) < entry.attention) entry.attention = attention ?? 0;
      place(entry);
    },
    reset(domain, due) {
      const entry = find(domain);
      entry.due = due ?? NEVER;
      if (due === null) entry.attention = NEVER;
      place(entry);
    },
    resetAttention(domain, attention) {
      const entry = find(domain);
      entry.attention = attention ?? NEVER;
      place(entry);
    },
    setDown(domain, until) {
      const entry = find(domain);
      entry.down = until;
      place(entry);
    },
    leaveAlone(domain, until) {
      alone.set(domain, until);
      place(find(domain));
    },
    downUntil(domain, now) {
      const down = Math.max(known.get(domain)?.down ?? 0, alone.get(domain) ?? 0);
      return down > now ? (down as Instant) : null;
    },
    next(now, skip) {
      promote(now);
      for (const entry of line) {
        if (skip(entry.domain)) continue;
        line.delete(entry);
        line.add(entry);
        return entry.domain;
      }
      return null;
    },
    ready: () => line.size,
    wakes: () => (heap.top()?.wake ?? null) as Instant | null,
    prune(now) {
      for (const [domain, until] of alone) if (until <= now) alone.delete(domain);
      for (const entry of known.values()) {
        if (entry.due === NEVER && entry.down <= now) known.delete(entry.domain);
      }
    },
    clear() {
      known.clear();
      heap.clear();
      line.clear();
    },
  };
}
