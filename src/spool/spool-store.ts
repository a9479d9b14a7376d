/**
 * What the queue's flows need of a database: rows in and out, one transaction at a time, synchronous. Types only.
 * Rules (leases, turns, what becomes of a recipient) live with the flows, not here. All functions throw what the store throws.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { QueueId, Recipient } from '../domain/envelope.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import type { DeliveryFailure } from '../domain/outcome.ts';
import type { QueueEntry, QueueFilter, QueueStats } from '../domain/queue.ts';
import type { HostMemory, SpoolProblem } from './spool.ts';
import type { ShownMessage } from './spool-protocol.ts';

/** The body's part of a message row: in the row itself, with its CRC-32, or the name of a file. */
export type BodyRow =
  | { readonly kind: 'bytes'; readonly wire: Uint8Array<ArrayBuffer>; readonly checksum: number }
  | { readonly kind: 'file'; readonly name: string; readonly wireBytes: number };

/** A message to insert. */
export type MessageRow = {
  readonly id: number;
  readonly queueId: QueueId;
  readonly reversePath: string;
  readonly receivedAt: Instant;
  readonly sizeBytes: number;
  readonly envelope: string;
  readonly body: BodyRow;
};

/** A recipient to insert: queued and due, or born leased (attempt 1, fence 1). */
export type RecipientRow = {
  readonly messageId: number;
  readonly number: number;
  readonly recipient: Recipient;
  readonly due: Instant;
  readonly leased: boolean;
  /** Null where it is born leased. */
  readonly attention: Instant | null;
};

/** One recipient's key. */
export type RecipientKey = { readonly messageId: number; readonly number: number };

/** A recipient an operator's filter found. */
export type MatchedRecipient = RecipientKey & { readonly domain: Domain; readonly held: boolean };

/** A recipient about to be leased. */
export type LeasableRecipient = {
  readonly number: number;
  readonly recipient: Recipient;
  readonly attempts: number;
  readonly delayNoticeSent: boolean;
};

/** What a claim needs of its message. */
export type ClaimedMessage = {
  readonly queueId: QueueId;
  readonly envelope: string;
  readonly sizeBytes: number;
  readonly body: BodyRow;
  /** The body in the row is the one that was stored (length and checksum). A file's size is for those to look at who see files. */
  readonly intact: boolean;
};

/** What becomes of a recipient that is tried again. */
export type Deferral = RecipientKey & {
  readonly due: Instant;
  readonly attention: Instant;
  readonly connector: string | null;
  readonly failure: DeliveryFailure;
  readonly delayNoticeSent: boolean;
  /** The attempt counted with the claim is taken off again. */
  readonly untried: boolean;
};

/**
 * What of a domain is handed out: what is due at `now`, or, where the destination is down, what must be looked at by `now` all the
 * same.
 */
export type Turn = { readonly domain: Domain; readonly by: 'due' | 'attention'; readonly now: Instant };

/** Counted with each change, so that no one ever has to count a million rows. */
export type Totals = { messages: number; bytes: number };

/** The changing half. */
export type StoreChanges = {
  insertMessage(row: MessageRow): void;
  insertRecipient(row: RecipientRow): void;
  /** The message with all its recipients. */
  deleteMessage(id: number): void;
  deleteRecipient(key: RecipientKey): void;
  deferRecipient(deferral: Deferral): void;
  /**
   * A leased recipient falls back to queued (due at `due`) or held; `untried` takes the attempt off again. Where it has no attention
   * time yet it gets that of a recipient never tried, as with `unleaseAll` and `makeDue`.
   */
  unlease(key: RecipientKey, due: Instant, untried: boolean): void;
  /** All leases belong to a dead process: everything leased is queued and due, or held. Returns how many. */
  unleaseAll(due: Instant): number;
  /** Leases of a message what the turn means and counts the attempt. */
  leaseTurn(messageId: number, turn: Turn, fence: number): void;
  /** Leases one queued or held recipient, uncounted. */
  leaseOne(key: RecipientKey, fence: number): void;
  hold(key: RecipientKey): void;
  /** Sets every queued recipient of a message aside, saying why. Returns how many. */
  quarantine(messageId: number, failure: DeliveryFailure): number;
  makeDue(key: RecipientKey, due: Instant): void;
  markDestination(domain: Domain, until: Instant): void;
  unmarkDestinations(until: Instant): void;
  rememberHost(memory: HostMemory): void;
  forgetHost(host: string, address: string): void;
  /** Forgets hosts learned of before `before`, and the oldest beyond `keep`. */
  pruneHosts(before: Instant, keep: number): void;
  keepPolicy(policy: StoredPolicy): void;
  /** Removes policies that ended by `now`, and those that end first beyond `keep`. */
  prunePolicies(now: Instant, keep: number): void;
  writeTotals(totals: Totals): void;
};

/** The asking half. */
export type StoreQuestions = {
  /** The message that has waited longest of those the turn means, null where there is none. */
  firstOfTurn(turn: Turn): number | null;
  /** When the domain's next queued recipient is due, null where none is queued. */
  nextDue(domain: Domain): Instant | null;
  /** When the domain's next queued recipient must be looked at, null where none is queued. */
  nextAttention(domain: Domain): Instant | null;
  /** The message's recipients that the turn means. */
  recipientsOfTurn(messageId: number, turn: Turn): readonly LeasableRecipient[];
  recipient(key: RecipientKey): LeasableRecipient | null;
  /** The highest fence ever given for this message, and how many recipients it still has. */
  fences(messageId: number): { readonly fence: number; readonly recipients: number };
  message(id: number): ClaimedMessage | null;
  /** Size and body file of a message, null where it is gone. */
  extent(id: number): { readonly sizeBytes: number; readonly bodyFile: string | null } | null;
  hasRecipients(messageId: number): boolean;
  findMessage(queueId: QueueId): number | null;
  /** Every leased recipient, for reconciliation after a failed commit. */
  leased(): readonly (RecipientKey & { readonly domain: Domain; readonly fence: number })[];
  dueByDomain(): Iterable<{ readonly domain: Domain; readonly due: Instant }>;
  destinations(): readonly { readonly domain: Domain; readonly until: Instant }[];
  hosts(): readonly HostMemory[];
  policies(): readonly StoredPolicy[];
  totals(): Totals;
  highestId(): number;
  /** Messages whose body lies in a file. */
  bodyFiles(): Iterable<{ readonly id: number; readonly queueId: QueueId; readonly name: string; readonly wireBytes: number }>;
  ownsBodyFile(name: string): boolean;
  /** Recipients an operator means, in queue order after a key, never leased ones. */
  matching(filter: QueueFilter, after: RecipientKey, limit: number): readonly MatchedRecipient[];
};

/** What operators look at. */
export type StoreViews = {
  list(filter: QueueFilter, limit: number): { readonly entries: readonly QueueEntry[]; readonly total: number | null };
  show(queueId: QueueId): ShownMessage | null;
  /** The body as stored, whatever its checksum says. */
  body(queueId: QueueId): BodyRow | null;
  stats(): QueueStats;
};

/** What a thrown error means for the transaction under way. */
export type StoreFault =
  /** One row broke a rule (a queue id twice): that operation failed, nothing of it was done, the transaction goes on. */
  | { readonly kind: 'conflict'; readonly problem: SpoolProblem }
  /** Something of this operation cannot be read or bound; others may be fine. */
  | { readonly kind: 'operation'; readonly problem: SpoolProblem }
  /** The storage refuses: disk full, read-only, I/O error. Nothing of the transaction holds. */
  | { readonly kind: 'storage'; readonly problem: SpoolProblem };

/** The whole store. */
export type Store = StoreChanges &
  StoreQuestions &
  StoreViews & {
    begin(): void;
    commit(): void;
    /** Ends the transaction without a trace. Does nothing where there is none. */
    rollback(): void;
    /** Gives up to `pages` free pages back to the file system, where many are free. */
    shrink(pages: number): void;
    faultOf(error: unknown): StoreFault;
    /** Closes the file; throws nothing. */
    close(): void;
  };
