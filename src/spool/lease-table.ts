/**
 * Who holds what: the leases of this process. They live in memory, because they die with it: after a restart every leased row
 * falls back. Ends are on the monotonic clock, so that a jump of the wall clock outruns no owner.
 */
import type { Domain } from '../domain/address.ts';
import type { Milliseconds } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { ClaimKey } from './spool-protocol.ts';

/** The right of one client to one attempt, as the spool remembers it. */
export type Lease = {
  readonly client: number;
  readonly messageId: number;
  readonly queueId: QueueId;
  readonly domain: Domain;
  readonly fence: number;
  readonly numbers: readonly number[];
  /** These are all the recipients the message still has: when they are delivered it is gone. */
  readonly whole: boolean;
  readonly sizeBytes: number;
  readonly bodyFile: string | null;
  /** The attempt was counted when it was leased (an operator's claim is none). */
  readonly counted: boolean;
  until: Milliseconds;
  /** Ended by a change of the transaction under way; final when it commits. */
  ending: boolean;
};

/** Leases by their claim's key. */
export type LeaseTable = {
  add(lease: Lease): void;
  /** The live lease of that key, null where it ended or never was. */
  find(key: ClaimKey): Lease | null;
  remove(lease: Lease): void;
  all(): Iterable<Lease>;
  /** Leases that ran out by `now`. Cheap while none can have. */
  expired(now: Milliseconds): readonly Lease[];
  of(client: number): readonly Lease[];
  /** No lease ends before this; null where there are none. */
  earliest(): Milliseconds | null;
};

const keyOf = (queueId: QueueId, domain: Domain, fence: number): string => `${queueId} ${fence} ${domain}`;

/** An empty table. */
export function createLeaseTable(): LeaseTable {
  const leases = new Map<string, Lease>();
  /** A lower bound of all ends, corrected at each sweep. */
  let bound = Number.POSITIVE_INFINITY;
  const live = (lease: Lease | undefined): Lease | null => (lease === undefined || lease.ending ? null : lease);
  return {
    add(lease) {
      leases.set(keyOf(lease.queueId, lease.domain, lease.fence), lease);
      if (lease.until < bound) bound = lease.until;
    },
    find: (key) => live(leases.get(keyOf(key.queueId, key.domain, key.fence))),
    remove: (lease) => void leases.delete(keyOf(lease.queueId, lease.domain, lease.fence)),
    all: () => leases.values(),
    expired(now) {
      if (now < bound) return [];
      bound = Number.POSITIVE_INFINITY;
      const over: Lease[] = [];
      for (const lease of leases.values()) {
        if (lease.ending) continue;
        if (lease.until <= now) over.push(lease);
        if (lease.until < bound) bound = lease.until;
      }
      return over;
    },
    of: (client) => [...leases.values()].filter((lease) => lease.client === client && !lease.ending),
    earliest: () => (leases.size === 0 ? null : bound),
  };
}
