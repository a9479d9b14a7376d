/**
 * What a relay thread counts, in memory shared with the main thread: counting is an addition, reading costs the thread nothing.
 */

/** Names of the counts, each with its place. Gauges go up and down; the others only grow while the thread lives. */
export const COUNTERS = [
  'sessionsOpen',
  'sessionsRejected',
  'messagesAccepted',
  'messagesRejected',
  /** What inbound connectors in test mode would have refused. */
  'wouldBlockInbound',
  'loginsFailed',
  'recipientsDelivered',
  'recipientsDeferred',
  'recipientsFailed',
  'recipientsExpired',
  'noticesCreated',
  'deliveriesActive',
  'claimsHeld',
  'sessionsPooled',
  'tlsFallbacks',
  /** Milliseconds since the epoch, 0 before the first. */
  'lastDeliveryAt',
] as const;

export type CounterName = (typeof COUNTERS)[number];

/** One thread's counts. */
export type Counters = {
  add(name: CounterName, by?: number): void;
  set(name: CounterName, value: number): void;
};

const PLACE = Object.fromEntries(COUNTERS.map((name, place) => [name, place])) as Readonly<Record<CounterName, number>>;

/** Memory for one thread's counts; post it to the thread. */
export const createCounterMemory = (): SharedArrayBuffer =>
  new SharedArrayBuffer(COUNTERS.length * Float64Array.BYTES_PER_ELEMENT);

/** The thread's own view: the only writer. */
export function openCounters(memory: SharedArrayBuffer): Counters {
  const values = new Float64Array(memory);
  return {
    add: (name, by = 1) => {
      values[PLACE[name]] = (values[PLACE[name]] ?? 0) + by;
    },
    set: (name, value) => {
      values[PLACE[name]] = value;
    },
  };
}

/** The counts of several threads as one: sums, and the latest of moments. */
export function sumCounters(memories: readonly SharedArrayBuffer[]): Readonly<Record<CounterName, number>> {
  const views = memories.map((memory) => new Float64Array(memory));
  const of = (name: CounterName): number => {
    const values = views.map((view) => view[PLACE[name]] ?? 0);
    return name === 'lastDeliveryAt' ? Math.max(0, ...values) : values.reduce((sum, value) => sum + value, 0);
  };
  return Object.fromEntries(COUNTERS.map((name) => [name, of(name)])) as Record<CounterName, number>;
}
