/**
 * Carries out one change inside the transaction under way: accept, settle, release, renew, marks and memories.
 * The state table is architecture.md, section 4 (README, "States"); what becomes of a recipient is decided elsewhere.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import { untriedAttention } from './attention-policy.ts';
import type { Lease } from './lease-table.ts';
import { countMessage, endLease, giveBack, numbersByDomain, type QueueState, removeMessage } from './queue-state.ts';
import type { Answer, ChangeOp, ClaimKey, PostedMessage } from './spool-protocol.ts';
import type { BodyRow } from './spool-store.ts';

/** Who asks, and the buffer the bodies of the post lie in. */
export type Caller = { readonly client: number; readonly bodies: Uint8Array<ArrayBuffer> | null };

type Op<Name extends ChangeOp['op']> = Extract<ChangeOp, { op: Name }>;

const DONE: Answer = { kind: 'done' };
const STALE: Answer = { kind: 'stale' };

function bodyRow(message: PostedMessage, bodies: Uint8Array<ArrayBuffer> | null): BodyRow {
  const body = message.body;
  if (body.kind === 'file') return body;
  const wire = bodies?.subarray(body.offset, body.offset + body.length) ?? new Uint8Array();
  return { kind: 'bytes', wire, checksum: body.checksum };
}

/** Inserts the message row. Throws a constraint error, nothing done, where the queue id is taken. */
function insertMessage(state: QueueState, message: PostedMessage, caller: Caller): number {
  const id = state.nextId;
  const { queueId, reversePath, receivedAt, sizeBytes, envelope } = message;
  state.store.insertMessage({ id, queueId, reversePath, receivedAt, sizeBytes, envelope, body: bodyRow(message, caller.bodies) });
  state.nextId = id + 1;
  countMessage(state, sizeBytes);
  return id;
}

/** Stores a message; with a lease, leased to the caller except for domains that are down. */
export function accept(state: QueueState, op: Op<'accept'>, caller: Caller): Answer {
  const { message, leaseFor } = op;
  const now = state.clock.now();
  const messageId = insertMessage(state, message, caller);
  const first = message.recipients[0].mailbox.domain;
  if (message.recipients.length === 1 && leaseFor !== null && state.due.downUntil(first, now) === null) {
    const recipient = message.recipients[0];
    state.store.insertRecipient({ messageId, number: 0, recipient, due: now, leased: true, attention: null });
    state.effects.leased.push(
      bornLease(state, { message, messageId, domain: first, numbers: [0], whole: true }, { caller, leaseFor }),
    );
    return DONE;
  }
  const groups = numbersByDomain(message.recipients);
  const untried = untriedAttention(message.receivedAt);
  const leased = new Set<Domain>();
  for (const [domain, numbers] of groups) {
    if (leaseFor === null || state.due.downUntil(domain, now) !== null) state.due.offer(domain, now, untried);
    else {
      leased.add(domain);
      const whole = groups.size === 1;
      state.effects.leased.push(bornLease(state, { message, messageId, domain, numbers, whole }, { caller, leaseFor }));
    }
  }
  for (const [number, recipient] of message.recipients.entries()) {
    const born = leased.has(recipient.mailbox.domain);
    const attention = born ? null : untried;
    state.store.insertRecipient({ messageId, number, recipient, due: now, leased: born, attention });
  }
  return leaseFor === null || leased.size === groups.size ? DONE : { kind: 'leased', domains: [...leased] };
}

type Born = { message: PostedMessage; messageId: number; domain: Domain; numbers: readonly number[]; whole: boolean };

function bornLease(state: QueueState, born: Born, to: { caller: Caller; leaseFor: Milliseconds }): Lease {
  const { message, messageId, domain, numbers, whole } = born;
  return {
    client: to.caller.client,
    messageId,
    queueId: message.queueId,
    domain,
    fence: 1,
    numbers,
    whole,
    sizeBytes: message.sizeBytes,
    bodyFile: message.body.kind === 'file' ? message.body.name : null,
    counted: true,
    until: state.clock.monotonic() + to.leaseFor,
    ending: false,
  };
}

/** Ends a claim as its owner says; a claim that is no longer its owner's changes nothing. */
export function settle(state: QueueState, op: Op<'settle'>, caller: Caller): Answer {
  const lease = state.leases.find(op.key);
  if (lease === null) return STALE;
  for (const notice of op.notices) insertNotice(state, notice, caller);
  endLease(state, lease);
  if (lease.whole && op.others.length === 0 && op.delivered.length === lease.numbers.length) {
    removeMessage(state, { id: lease.messageId, sizeBytes: lease.sizeBytes, bodyFile: lease.bodyFile });
    return DONE;
  }
  settleEach(state, lease, op);
  if (!state.store.hasRecipients(lease.messageId)) {
    removeMessage(state, { id: lease.messageId, sizeBytes: lease.sizeBytes, bodyFile: lease.bodyFile });
  }
  return DONE;
}

function settleEach(state: QueueState, lease: Lease, op: Op<'settle'>): void {
  const { messageId } = lease;
  const open = new Set(lease.numbers);
  for (const number of op.delivered) {
    if (open.delete(number)) state.store.deleteRecipient({ messageId, number });
  }
  for (const fate of op.others) {
    if (!open.delete(fate.number)) continue;
    if (fate.becomes !== 'queued') state.store.deleteRecipient({ messageId, number: fate.number });
    else {
      const untried = op.untried && lease.counted;
      state.store.deferRecipient({ ...fate, messageId, connector: op.connector, untried });
      state.due.offer(lease.domain, fate.due, fate.attention);
    }
  }
  // A recipient the settlement does not name is never left leased for good.
  const now = state.clock.now();
  for (const number of open) {
    state.store.unlease({ messageId, number }, now, false);
    state.due.offer(lease.domain, now, null);
  }
}

/** A notice, queued and due. One that is already there was stored by a commit whose end was in doubt. */
function insertNotice(state: QueueState, notice: PostedMessage, caller: Caller): void {
  if (state.store.findMessage(notice.queueId) !== null) return;
  const due = state.clock.now();
  const attention = untriedAttention(notice.receivedAt);
  const messageId = insertMessage(state, notice, caller);
  for (const [number, recipient] of notice.recipients.entries()) {
    state.store.insertRecipient({ messageId, number, recipient, due, leased: false, attention });
    state.due.offer(recipient.mailbox.domain, due, attention);
  }
}

/** Gives claims back untried. */
export function release(state: QueueState, keys: readonly ClaimKey[]): Answer {
  for (const key of keys) {
    const lease = state.leases.find(key);
    if (lease !== null) giveBack(state, lease, true);
  }
  return DONE;
}

/** Prolongs live leases; never shortens one. */
export function renew(state: QueueState, keys: readonly ClaimKey[], leaseFor: Milliseconds): Answer {
  const until = state.clock.monotonic() + leaseFor;
  for (const key of keys) {
    const lease = state.leases.find(key);
    if (lease !== null && lease.until < until) lease.until = until;
  }
  return DONE;
}

/** Marks a destination down, or up again. */
export function markDestination(state: QueueState, domain: Domain, until: Instant): Answer {
  state.store.markDestination(domain, until);
  state.due.setDown(domain, until);
  return DONE;
}

/** Remembers or forgets a host; every client hears of it once that is durable. */
export function changeHostMemory(state: QueueState, op: Op<'host-memory'>): Answer {
  const change = op.change;
  switch (change.kind) {
    case 'remember':
      state.store.rememberHost(change.memory);
      break;
    case 'forget':
      state.store.forgetHost(change.host, change.address);
      break;
  }
  state.effects.hostChanges.push(change);
  return DONE;
}

/** Keeps an MTA-STS policy; every client hears of it once that is durable. */
export function keepPolicy(state: QueueState, policy: StoredPolicy): Answer {
  state.store.keepPolicy(policy);
  state.effects.policies.push(policy);
  return DONE;
}

/** Takes a message out again that a commit in doubt may have stored, though its client was told it was not. */
export function undoAccept(state: QueueState, queueId: PostedMessage['queueId']): void {
  const id = state.store.findMessage(queueId);
  if (id === null) return;
  const extent = state.store.extent(id);
  // Its body file is its writer's to remove: an unaccepted body was never ours.
  if (extent !== null) removeMessage(state, { id, sizeBytes: extent.sizeBytes, bodyFile: null });
}
