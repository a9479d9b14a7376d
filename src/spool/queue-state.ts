/**
 * What the spool thread holds in memory beside its database, and how the two stay one: changes to leases wait for the commit,
 * the rest is read again after a rollback.
 */
import type { Domain } from '../domain/address.ts';
import type { Clock } from '../domain/basics.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import { createDueIndex, type DueIndex } from './due-index.ts';
import { createLeaseTable, type Lease, type LeaseTable } from './lease-table.ts';
import type { HostMemoryChange } from './spool.ts';
import type { SpoolEvent } from './spool-events.ts';
import type { Store, Totals } from './spool-store.ts';

/** Looks at and removes body files by their stored names. */
export type BodyFiles = {
  /** Size in octets, null where there is no such file. */
  size(name: string): number | null;
  /** Removes the file soon. What cannot be removed is swept at the next start. */
  remove(name: string): void;
};

/** What the transaction under way will have done once it commits. */
export type Effects = {
  leased: Lease[];
  ended: Lease[];
  files: string[];
  hostChanges: HostMemoryChange[];
  policies: StoredPolicy[];
  events: SpoolEvent[];
  /** The destination at whose rows the store failed, null where it did not. */
  stumbledOver: Domain | null;
};

/** The spool thread's whole state. */
export type QueueState = {
  store: Store;
  readonly bodies: BodyFiles;
  readonly clock: Clock;
  readonly leases: LeaseTable;
  readonly due: DueIndex;
  totals: Totals;
  nextId: number;
  effects: Effects;
};

const noEffects = (): Effects => ({
  leased: [],
  ended: [],
  files: [],
  hostChanges: [],
  policies: [],
  events: [],
  stumbledOver: null,
});

/** The state over an opened store. Reads what is due by destination: one walk over a covering index. */
export function createQueueState(parts: Pick<QueueState, 'store' | 'bodies' | 'clock'>): QueueState {
  const memory = { leases: createLeaseTable(), due: createDueIndex(), totals: { messages: 0, bytes: 0 } };
  const state: QueueState = { ...parts, ...memory, nextId: 1, effects: noEffects() };
  reload(state);
  return state;
}

/** Reads again what is kept in memory of the database: at start, and after a transaction that came to nothing. */
export function reload(state: QueueState): void {
  const { store, due } = state;
  due.clear();
  for (const row of store.dueByDomain()) due.offer(row.domain, row.due, null);
  for (const row of store.destinations()) due.setDown(row.domain, row.until);
  state.totals = store.totals();
  state.nextId = Math.max(state.nextId, store.highestId() + 1);
}

/** The transaction is on disk: leases begin and end, and what it did is handed out. */
export function finishEffects(state: QueueState): Effects {
  const { effects, leases } = state;
  for (const lease of effects.leased) leases.add(lease);
  for (const lease of effects.ended) leases.remove(lease);
  for (const name of effects.files) state.bodies.remove(name);
  state.effects = noEffects();
  return effects;
}

/** The transaction came to nothing: the leases it ended live on, those it made never were. */
export function dropEffects(state: QueueState): void {
  for (const lease of state.effects.ended) lease.ending = false;
  state.effects = noEffects();
}

/** Ends a lease with the transaction under way. */
export function endLease(state: QueueState, lease: Lease): void {
  lease.ending = true;
  state.effects.ended.push(lease);
}

/** Gives leased recipients back: due at once; `untried` takes a counted attempt off again. */
export function giveBack(state: QueueState, lease: Lease, untried: boolean): void {
  const now = state.clock.now();
  for (const number of lease.numbers) {
    state.store.unlease({ messageId: lease.messageId, number }, now, untried && lease.counted);
  }
  state.due.offer(lease.domain, now, null);
  endLease(state, lease);
}

/** Removes a message that has no recipient left, its body file after the commit. */
export function removeMessage(state: QueueState, message: { id: number; sizeBytes: number; bodyFile: string | null }): void {
  state.store.deleteMessage(message.id);
  state.totals.messages -= 1;
  state.totals.bytes -= message.sizeBytes;
  if (message.bodyFile !== null) state.effects.files.push(message.bodyFile);
}

/** Removes a message if it has no recipient left. */
export function removeIfDone(state: QueueState, id: number): void {
  if (state.store.hasRecipients(id)) return;
  const extent = state.store.extent(id);
  if (extent !== null) removeMessage(state, { id, ...extent });
}

/** Counts one message more. */
export function countMessage(state: QueueState, sizeBytes: number): void {
  state.totals.messages += 1;
  state.totals.bytes += sizeBytes;
}

/** The domains of a list of recipients, each with its recipients' numbers, in order of appearance. */
export function numbersByDomain(recipients: readonly { readonly mailbox: { readonly domain: Domain } }[]): Map<Domain, number[]> {
  const groups = new Map<Domain, number[]>();
  for (const [number, recipient] of recipients.entries()) {
    const group = groups.get(recipient.mailbox.domain);
    if (group === undefined) groups.set(recipient.mailbox.domain, [number]);
    else group.push(number);
  }
  return groups;
}
