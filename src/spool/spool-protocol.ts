/**
 * What the spool's clients and its thread say to each other over a MessagePort. Types only.
 * Everything is plain data; bodies travel in one transferred buffer per post, never as JSON.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { QueueId, Recipients } from '../domain/envelope.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import type {
  ClaimedRecipient,
  DestinationDown,
  QueueAction,
  QueueEntry,
  QueueFilter,
  QueueStats,
  RecipientSettlement,
} from '../domain/queue.ts';
import type { ClaimRequest, HostMemory, HostMemoryChange, SpoolHealth, SpoolProblem } from './spool.ts';

/** Where a body lies: in the buffer posted along, or in a file named relative to the bodies folder. */
export type PostedBody =
  | { readonly kind: 'bytes'; readonly offset: number; readonly length: number; readonly checksum: number }
  | { readonly kind: 'file'; readonly name: string; readonly wireBytes: number };

/** A message on its way into the queue; the columns repeat what the thread needs of the envelope, which it never parses. */
export type PostedMessage = {
  readonly queueId: QueueId;
  readonly reversePath: string;
  readonly receivedAt: Instant;
  readonly sizeBytes: number;
  /** JSON. */
  readonly envelope: string;
  readonly recipients: Recipients;
  readonly body: PostedBody;
};

/** The name of a live claim. */
export type ClaimKey = { readonly queueId: QueueId; readonly domain: Domain; readonly fence: number };

/** Changes: carried out in one transaction with whatever else has arrived. */
export type ChangeOp =
  | { readonly op: 'accept'; readonly id: number; readonly message: PostedMessage; readonly leaseFor: Milliseconds | null }
  | {
      readonly op: 'settle';
      readonly id: number;
      readonly key: ClaimKey;
      readonly connector: string | null;
      readonly delivered: readonly number[];
      readonly others: readonly Exclude<RecipientSettlement, { becomes: 'delivered' }>[];
      readonly notices: readonly PostedMessage[];
      readonly untried: boolean;
    }
  | { readonly op: 'release'; readonly id: number; readonly keys: readonly ClaimKey[] }
  | { readonly op: 'renew'; readonly id: number; readonly keys: readonly ClaimKey[]; readonly leaseFor: Milliseconds }
  | { readonly op: 'mark-destination'; readonly id: number; readonly down: DestinationDown }
  | { readonly op: 'host-memory'; readonly id: number; readonly change: HostMemoryChange }
  | { readonly op: 'keep-policy'; readonly id: number; readonly policy: StoredPolicy }
  | {
      readonly op: 'act';
      readonly id: number;
      readonly action: Exclude<QueueAction, 'bounce'>;
      readonly filter: QueueFilter;
    }
  | {
      readonly op: 'claim-matching';
      readonly id: number;
      readonly filter: QueueFilter;
      readonly limit: number;
      readonly leaseFor: Milliseconds;
    };

/** Questions: answered between transactions, one at a time. */
export type ReadOp =
  | { readonly op: 'list'; readonly id: number; readonly filter: QueueFilter; readonly limit: number }
  | { readonly op: 'show'; readonly id: number; readonly queueId: QueueId }
  | { readonly op: 'body'; readonly id: number; readonly queueId: QueueId }
  | { readonly op: 'stats'; readonly id: number }
  | { readonly op: 'recall-hosts'; readonly id: number }
  | { readonly op: 'recall-policies'; readonly id: number };

/** The long poll and its end. */
export type PollOp =
  | { readonly op: 'claim'; readonly id: number; readonly request: ClaimRequest }
  | { readonly op: 'cancel'; readonly id: number; readonly poll: number };

export type SpoolOp = ChangeOp | ReadOp | PollOp;

/** Everything a client asked for in one turn of its event loop. */
export type SpoolPost = { readonly ops: readonly SpoolOp[]; readonly bodies: Uint8Array<ArrayBuffer> | null };

/** A stored body as the thread hands it out. */
export type StoredBody =
  | { readonly kind: 'bytes'; readonly wire: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'file'; readonly name: string; readonly wireBytes: number };

/** A claim as the thread hands it out. */
export type PostedClaim = {
  readonly key: ClaimKey;
  readonly leaseUntil: Instant;
  /** JSON. */
  readonly envelope: string;
  readonly recipients: readonly ClaimedRecipient[];
  readonly body: StoredBody;
  readonly attention: boolean;
};

/** What a message looks like to `queue show`. */
export type ShownMessage = {
  readonly envelope: string;
  readonly recipients: Recipients;
  readonly entries: readonly QueueEntry[];
};

/** The answer to one operation. `done` says it went as asked and is durable. */
export type Answer =
  | { readonly kind: 'done' }
  | { readonly kind: 'problem'; readonly problem: SpoolProblem }
  /** Accepted; of the domains asked for, only these are leased to the caller. */
  | { readonly kind: 'leased'; readonly domains: readonly Domain[] }
  | { readonly kind: 'stale' }
  | { readonly kind: 'changed'; readonly count: number }
  | { readonly kind: 'claims'; readonly claims: readonly PostedClaim[] }
  | { readonly kind: 'page'; readonly entries: readonly QueueEntry[]; readonly total: number | null }
  | { readonly kind: 'shown'; readonly message: ShownMessage | null }
  | { readonly kind: 'body'; readonly body: StoredBody | null }
  | { readonly kind: 'stats'; readonly stats: QueueStats }
  | { readonly kind: 'hosts'; readonly hosts: readonly HostMemory[] }
  | { readonly kind: 'policies'; readonly policies: readonly StoredPolicy[] };

/** What the thread posts to a client: everything one commit made true, or news. */
export type SpoolReply =
  | {
      readonly kind: 'answers';
      /** Operations answered `done`. */
      readonly done: readonly number[];
      readonly others: readonly (readonly [id: number, answer: Answer])[];
    }
  | { readonly kind: 'health'; readonly health: SpoolHealth }
  | { readonly kind: 'host-memory'; readonly change: HostMemoryChange }
  | { readonly kind: 'policy'; readonly policy: StoredPolicy };
