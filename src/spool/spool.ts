/**
 * The queue's port. Types only: sqlite-spool.ts keeps these promises on node:sqlite; the same contract suite runs on every store.
 * A resolved `accept` or `settle` is durable: it survives a power cut.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds, NonEmpty, Result } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import type {
  Body,
  Claim,
  DestinationDown,
  NewMessage,
  QueueAction,
  QueueEntry,
  QueueFilter,
  QueueStats,
  Settlement,
} from '../domain/queue.ts';
import type { Rung } from '../domain/tls.ts';

/** Why the spool took nothing. The client hears 452 or 451; nothing is half stored. */
export type SpoolProblem = { readonly kind: 'disk-full' | 'read-only' | 'broken' | 'closed'; readonly detail: string };

/** Writes a large body to a file while it arrives; memory stays bounded by the file system's speed. */
export type BodyWriter = {
  /** Takes the next bytes of the wire form. Await it before the next call: that is the backpressure. */
  write(chunk: Uint8Array): Promise<Result<void, SpoolProblem>>;
  /** Flushes and fsyncs file and folder; the body may now be given to `accept`. The file belongs to the spool from then on. */
  finish(): Promise<Result<Body, SpoolProblem>>;
  /** Removes what was written. Idempotent; after `finish` it removes the body, which must not have been accepted. */
  abandon(): Promise<void>;
};

/** What a thread can take on now. */
export type ClaimRequest = {
  /** At most this many claims. */
  readonly limit: number;
  /** At most this many of one destination, so that none crowds out the others. */
  readonly perDestination: number;
  /** Destinations this thread has enough of already. */
  readonly except: readonly Domain[];
  readonly leaseFor: Milliseconds;
};

/** What is remembered of a host's TLS: the rung that worked at this address, and since when. */
export type HostMemory = { readonly host: string; readonly address: string; readonly rung: Rung; readonly since: Instant };

/** What a thread learned of a host: a rung that works, or that nothing is known any more. */
export type HostMemoryChange =
  | { readonly kind: 'remember'; readonly memory: HostMemory }
  | { readonly kind: 'forget'; readonly host: string; readonly address: string };

/** How the store is, for readiness, status and MAIL. */
export type SpoolHealth = {
  readonly writable: boolean;
  /** Free space is below `limits.diskFree`: MAIL is answered with 452 4.3.1. */
  readonly low: boolean;
  readonly freeBytes: number;
  readonly problem: SpoolProblem | null;
};

/** What each thread that accepts and delivers sees of the queue. */
export type Spool = {
  /**
   * Stores a message with all its recipients. With `claim`, recipients are leased to the caller in the same transaction, one
   * claim per recipient domain; domains known to be down are left queued instead. The claims carry the given body itself.
   */
  accept(message: NewMessage, claim: { readonly leaseFor: Milliseconds } | null): Promise<Result<readonly Claim[], SpoolProblem>>;
  /** A writer for a body too large for memory. */
  createBody(): Promise<Result<BodyWriter, SpoolProblem>>;
  /**
   * Leases what is due, oldest first within a destination, destinations in turn. Waits until something is; ends with an empty
   * list when `signal` aborts. Attempts are counted here, so that a crash loop cannot hammer a peer. Of a destination that is down
   * only those are leased whose attention time has come, oldest first, and marked so.
   */
  claim(request: ClaimRequest, signal: AbortSignal): Promise<readonly Claim[]>;
  /** Ends a claim. 'stale': the lease ran out and another owns the recipients; nothing was changed. */
  settle(settlement: Settlement): Promise<Result<'settled' | 'stale', SpoolProblem>>;
  /** Gives claims back untried: due at once, attempt not counted, attention time kept. */
  release(claims: readonly Claim[]): Promise<void>;
  /** Prolongs leases of attempts under way. */
  renew(claims: readonly Claim[], leaseFor: Milliseconds): Promise<void>;
  /** Marks a destination down until a time, or up again (`until` in the past). Shared by all threads, survives restarts. */
  markDestination(down: DestinationDown): Promise<void>;
  /** What is remembered of hosts. */
  recallHosts(): Promise<readonly HostMemory[]>;
  /** Remembers a host, or forgets it (null rung is said by `forgetHost`). Told to every thread through `onHostMemory`. */
  rememberHost(memory: HostMemory): Promise<void>;
  forgetHost(host: string, address: string): Promise<void>;
  /** Calls back whenever any thread learned of a host: the new memory, or the key of a forgotten one. */
  onHostMemory(listener: (change: HostMemoryChange) => void): void;
  /** The MTA-STS policies kept, some of which may have ended. */
  recallPolicies(): Promise<readonly StoredPolicy[]>;
  /** Keeps a policy until it ends or another of its domain takes its place. Told to every thread, this one included, through `onPolicy`. */
  keepPolicy(policy: StoredPolicy): Promise<void>;
  /** Calls back whenever any thread kept a policy. */
  onPolicy(listener: (policy: StoredPolicy) => void): void;
  /** The health as last known, at most a second old. Synchronous: asked at every MAIL. */
  health(): SpoolHealth;
  close(): Promise<void>;
};

/** A page of the queue, oldest first; `total` counts all that match, up to 10,000 (null beyond). */
export type QueuePage = { readonly entries: readonly QueueEntry[]; readonly total: number | null };

/** A queued message in full, for `queue show`. */
export type QueuedMessage = { readonly message: Omit<NewMessage, 'body'>; readonly entries: NonEmpty<QueueEntry> };

/** What an operator sees and does. */
export type SpoolAdmin = {
  list(filter: QueueFilter, limit: number): Promise<QueuePage>;
  show(queueId: QueueId): Promise<QueuedMessage | null>;
  /** The body in wire form, still dot-stuffed. */
  body(queueId: QueueId): Promise<Body | null>;
  stats(): Promise<QueueStats>;
  /** Carries out an action on all that match and are not leased; returns how many recipients changed. `bounce` goes through `claimMatching`. */
  act(action: Exclude<QueueAction, 'bounce'>, filter: QueueFilter): Promise<Result<number, SpoolProblem>>;
  /** Leases up to `limit` matching recipients' messages that are not leased, to settle them as bounced. */
  claimMatching(filter: QueueFilter, limit: number, leaseFor: Milliseconds): Promise<readonly Claim[]>;
};
