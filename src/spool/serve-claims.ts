/**
 * Hands out what is due: destinations in turn, oldest first within one, never more than was asked for or than memory bears. Of a
 * destination that is down: what must be looked at all the same.
 * Runs inside the transaction under way; a claim is handed over only after its commit.
 */
import type { Domain } from '../domain/address.ts';
import { after, type Milliseconds } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { DeliveryFailure } from '../domain/outcome.ts';
import type { ClaimedRecipient, QueueFilter } from '../domain/queue.ts';
import { type BodyFiles, giveBack, type QueueState } from './queue-state.ts';
import type { ClaimRequest } from './spool.ts';
import type { PostedClaim } from './spool-protocol.ts';
import type { BodyRow, ClaimedMessage, LeasableRecipient, MatchedRecipient, Turn } from './spool-store.ts';

/** Octets of bodies in one answer, the last one may exceed it: the rest waits for the next poll. */
const BYTES_PER_ANSWER = 8 * 1024 * 1024;
const UNREADABLE_BODY: BodyRow = { kind: 'bytes', wire: new Uint8Array(), checksum: 0 };
/** Rows looked at by one claimMatching. */
const MATCHING_ROWS = 1000;

/** Who claims, for how long. */
export type Claimant = { readonly client: number; readonly leaseFor: Milliseconds };

type Share = { readonly claimant: Claimant; readonly limit: number; readonly bytes: number };

type Grant = {
  readonly messageId: number;
  readonly domain: Domain;
  readonly fence: number;
  readonly whole: boolean;
  readonly counted: boolean;
  readonly attention: boolean;
  readonly recipients: readonly LeasableRecipient[];
};

/** Claims of what is due now. Empty where nothing is, or all that is belongs to destinations the request excepts. */
export function claimDue(state: QueueState, request: ClaimRequest, client: number): PostedClaim[] {
  const claims: PostedClaim[] = [];
  const taken = new Map<Domain, number>(request.except.map((domain) => [domain, request.perDestination]));
  const claimant = { client, leaseFor: request.leaseFor };
  const room = (domain: Domain): number => request.perDestination - (taken.get(domain) ?? 0);
  let bytes = 0;
  while (claims.length < request.limit && bytes < BYTES_PER_ANSWER) {
    const domain = state.due.next(state.clock.now(), (candidate) => room(candidate) <= 0);
    if (domain === null) break;
    const share = Math.ceil((request.limit - claims.length) / Math.max(state.due.ready(), 1));
    const turn = claimTurn(state, domain, { claimant, limit: Math.min(share, room(domain)), bytes: BYTES_PER_ANSWER - bytes });
    for (const claim of turn) {
      claims.push(claim);
      bytes += bodyBytes(claim);
    }
    taken.set(domain, (taken.get(domain) ?? 0) + turn.length);
  }
  return claims;
}

/** One destination's turn. Leaves the index saying when its next comes. */
function claimTurn(state: QueueState, domain: Domain, share: Share): PostedClaim[] {
  const claims: PostedClaim[] = [];
  const now = state.clock.now();
  const turn: Turn = { domain, now, by: state.due.downUntil(domain, now) === null ? 'due' : 'attention' };
  let bytes = 0;
  try {
    while (claims.length < share.limit && bytes < share.bytes) {
      const messageId = state.store.firstOfTurn(turn);
      if (messageId === null) break;
      const claim = claimMessage(state, messageId, { turn, claimant: share.claimant });
      if (claim === null) continue;
      claims.push(claim);
      bytes += bodyBytes(claim);
    }
    state.due.reset(domain, state.store.nextDue(domain));
    if (turn.by === 'attention') state.due.resetAttention(domain, state.store.nextAttention(domain));
  } catch (error) {
    // Whoever rolls this transaction back learns which destination to leave out of the next one.
    state.effects.stumbledOver = domain;
    throw error;
  }
  return claims;
}

const bodyBytes = (claim: PostedClaim): number => (claim.body.kind === 'bytes' ? claim.body.wire.length : 0);

/** Leases of one message what the turn means; null where its body is not what was stored, and it was set aside. */
function claimMessage(
  state: QueueState,
  messageId: number,
  to: { readonly turn: Turn; readonly claimant: Claimant },
): PostedClaim | null {
  const { store } = state;
  const message = soundMessage(state, messageId);
  if (message === null) return null;
  const { domain, by } = to.turn;
  const meant = store.recipientsOfTurn(messageId, to.turn);
  const { fence, recipients: left } = store.fences(messageId);
  store.leaseTurn(messageId, to.turn, fence + 1);
  const recipients = meant.map((recipient) => ({ ...recipient, attempts: recipient.attempts + 1 }));
  const attempt = { whole: meant.length === left, counted: true, attention: by === 'attention', recipients };
  const grant = { messageId, domain, fence: fence + 1, ...attempt };
  return grantClaim(state, message, { grant, claimant: to.claimant });
}

/** The message, unless its body is damaged or gone: then what is queued of it is held, with the reason. */
function soundMessage(state: QueueState, messageId: number): ClaimedMessage | null {
  const message = state.store.message(messageId);
  const damage = message === null ? 'the message row is missing' : bodyDamage(state, message);
  if (damage === null) return message;
  quarantine(state, { id: messageId, queueId: message?.queueId ?? null }, damage);
  return null;
}

/** What is wrong with a stored body, null where it is what was accepted. */
function bodyDamage(state: QueueState, message: ClaimedMessage): string | null {
  if (message.body.kind === 'file') return bodyFileDamage(state.bodies, message.body);
  return message.intact ? null : 'the stored body is not what was accepted (checksum differs)';
}

/** What is wrong with a body file, null where its size is right. */
export function bodyFileDamage(bodies: BodyFiles, body: { readonly name: string; readonly wireBytes: number }): string | null {
  const size = bodies.size(body.name);
  if (size === null) return `the body file ${body.name} is missing`;
  return size === body.wireBytes ? null : `the body file ${body.name} has ${size} octets instead of ${body.wireBytes}`;
}

/** Sets aside what is queued of a message: held, visible with the reason, never delivered in part. */
export function quarantine(state: QueueState, message: { id: number; queueId: QueueId | null }, detail: string): void {
  const text = `Set aside: ${detail}. Restore it and release the message, or bounce or remove it.`;
  const failure: DeliveryFailure = { permanent: false, enhanced: '4.3.0', text, reply: null, mx: null, ip: null };
  const held = state.store.quarantine(message.id, failure);
  if (message.queueId === null) state.effects.events.push({ kind: 'unreadable', detail });
  else if (held > 0) state.effects.events.push({ kind: 'quarantined', queueId: message.queueId, detail });
}

function grantClaim(state: QueueState, message: ClaimedMessage, to: { grant: Grant; claimant: Claimant }): PostedClaim {
  const { messageId, domain, fence, whole, counted, attention, recipients } = to.grant;
  const { client, leaseFor } = to.claimant;
  const { queueId, sizeBytes, body, envelope } = message;
  state.effects.leased.push({
    client,
    messageId,
    queueId,
    domain,
    fence,
    numbers: recipients.map((recipient) => recipient.number),
    whole,
    sizeBytes,
    bodyFile: body.kind === 'file' ? body.name : null,
    counted,
    until: state.clock.monotonic() + leaseFor,
    ending: false,
  });
  const leaseUntil = after(state.clock.now(), leaseFor);
  const key = { queueId, domain, fence };
  return { key, leaseUntil, envelope, recipients: recipients as readonly ClaimedRecipient[], body, attention };
}

/** An operator's claims: what matches and is not leased, due or not; the attempt is not counted, for none is made. */
export function claimMatching(state: QueueState, filter: QueueFilter, to: { claimant: Claimant; limit: number }): PostedClaim[] {
  const groups = new Map<string, MatchedRecipient[]>();
  for (const row of state.store.matching(filter, { messageId: 0, number: -1 }, MATCHING_ROWS)) {
    const key = `${row.messageId} ${row.domain}`;
    const group = groups.get(key);
    if (group !== undefined) group.push(row);
    else if (groups.size < to.limit) groups.set(key, [row]);
  }
  return [...groups.values()].flatMap((group) => claimGroup(state, group, to.claimant) ?? []);
}

function claimGroup(state: QueueState, group: readonly MatchedRecipient[], claimant: Claimant): PostedClaim | null {
  const { store } = state;
  const first = group[0];
  if (first === undefined) return null;
  const { messageId, domain } = first;
  const message = store.message(messageId);
  if (message === null) return null;
  // A failure notice is due even for a body nobody can read any more.
  const readable = bodyDamage(state, message) === null ? message : { ...message, body: UNREADABLE_BODY };
  const { fence, recipients: left } = store.fences(messageId);
  const recipients = group.flatMap((row) => store.recipient(row) ?? []);
  for (const row of group) store.leaseOne(row, fence + 1);
  state.due.reset(domain, store.nextDue(domain));
  const attempt = { whole: group.length === left, counted: false, attention: false, recipients };
  const grant = { messageId, domain, fence: fence + 1, ...attempt };
  return grantClaim(state, readable, { grant, claimant });
}

/** Ends the leases that ran out: their recipients are due again. */
export function expireLeases(state: QueueState): void {
  for (const lease of state.leases.expired(state.clock.monotonic())) giveBack(state, lease, false);
}
