/** The queue's asking SQL: what is due, what a claim needs, what recovery looks at. Every one of these goes by an index. */
import type { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { NotifyOn, QueueId, Recipient } from '../domain/envelope.ts';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import type { Rung } from '../domain/tls.ts';
import type { BodyRow, LeasableRecipient, StoreQuestions } from './spool-store.ts';
import { finding, listing, type Row, walking } from './sqlite-statement.ts';

const RECIPIENT = 'number, local_part, domain, notify, original_recipient, attempts, delay_notice_sent';

/** By purpose; exported so that a test can ask for their query plans. */
export const QUESTIONS = {
  firstDue: 'SELECT message_id FROM recipients WHERE state = 0 AND domain = ? AND due <= ? ORDER BY due, message_id LIMIT 1',
  nextDue: 'SELECT due FROM recipients WHERE state = 0 AND domain = ? ORDER BY due LIMIT 1',
  firstAttention: `SELECT message_id FROM recipients WHERE state = 0 AND domain = ? AND attention <= ?
    ORDER BY attention, message_id LIMIT 1`,
  nextAttention: `SELECT attention FROM recipients WHERE state = 0 AND domain = ? AND attention IS NOT NULL
    ORDER BY attention LIMIT 1`,
  // `+` keeps the planner from walking a whole destination by recipients_due: the message is what narrows.
  dueRecipients: `SELECT ${RECIPIENT} FROM recipients WHERE message_id = ? AND +domain = ? AND state = 0 AND +due <= ? ORDER BY number`,
  attentionRecipients: `SELECT ${RECIPIENT} FROM recipients
    WHERE message_id = ? AND +domain = ? AND state = 0 AND +attention <= ? ORDER BY number`,
  recipient: `SELECT ${RECIPIENT} FROM recipients WHERE message_id = ? AND number = ?`,
  fences: 'SELECT max(fence) AS fence, count(*) AS recipients FROM recipients WHERE message_id = ?',
  message: 'SELECT queue_id, envelope, size_bytes, wire_bytes, checksum, body_file, body FROM messages WHERE id = ?',
  extent: 'SELECT size_bytes, body_file FROM messages WHERE id = ?',
  hasRecipients: 'SELECT 1 AS found FROM recipients WHERE message_id = ? LIMIT 1',
  findMessage: 'SELECT id FROM messages WHERE queue_id = ?',
  leased: 'SELECT message_id, number, domain, fence FROM recipients WHERE state IN (1, 3)',
  dueByDomain: 'SELECT domain, min(due) AS due FROM recipients WHERE state = 0 GROUP BY domain',
  destinations: 'SELECT domain, down_until FROM destinations',
  hosts: 'SELECT host, address, rung, since FROM host_memory',
  policies: 'SELECT policy FROM sts_policies',
  totals: 'SELECT messages, bytes FROM totals',
  highestId: 'SELECT coalesce(max(id), 0) AS id FROM messages',
  bodyFiles: 'SELECT id, queue_id, body_file, wire_bytes FROM messages WHERE body_file IS NOT NULL',
  ownsBodyFile: 'SELECT 1 AS found FROM messages WHERE body_file = ?',
} as const;

/** How a recipient's columns are called. */
export type RecipientColumns = Row & {
  number: number;
  local_part: string;
  domain: Domain;
  notify: string | null;
  original_recipient: string | null;
};
type LeasableRow = RecipientColumns & { attempts: number; delay_notice_sent: number };
/** How the columns of a body are called. */
export type BodyColumns = Row & {
  wire_bytes: number;
  checksum: number | null;
  body_file: string | null;
  body: Uint8Array<ArrayBuffer> | null;
};

/** The recipient as the client gave it. */
export const recipientOf = (row: RecipientColumns): Recipient => ({
  mailbox: { localPart: row.local_part, domain: row.domain },
  notify: row.notify === null ? null : ((row.notify === '' ? [] : row.notify.split(',')) as NotifyOn[]),
  originalRecipient: row.original_recipient,
});

/** The body's part of a row. */
export function bodyOf(row: BodyColumns): BodyRow {
  if (row.body_file !== null) return { kind: 'file', name: row.body_file, wireBytes: row.wire_bytes };
  return { kind: 'bytes', wire: row.body ?? new Uint8Array(), checksum: row.checksum ?? 0 };
}

const leasable = (row: LeasableRow): LeasableRecipient => ({
  number: row.number,
  recipient: recipientOf(row),
  attempts: row.attempts,
  delayNoticeSent: row.delay_notice_sent === 1,
});

/** What the body is must be what it was when it was stored; a file's size is looked at by whoever can see the file. */
const intact = (body: BodyRow, wireBytes: number): boolean =>
  body.kind === 'file' || (body.wire.length === wireBytes && crc32(body.wire) === body.checksum);

/** Questions about messages and recipients. */
function rowQuestions(database: DatabaseSync) {
  const firstDue = finding<[Domain, Instant], { message_id: number }>(database, QUESTIONS.firstDue);
  const firstAttention = finding<[Domain, Instant], { message_id: number }>(database, QUESTIONS.firstAttention);
  const nextDue = finding<[Domain], { due: Instant & number }>(database, QUESTIONS.nextDue);
  const nextAttention = finding<[Domain], { attention: Instant & number }>(database, QUESTIONS.nextAttention);
  const dueRecipients = listing<[number, Domain, Instant], LeasableRow>(database, QUESTIONS.dueRecipients);
  const attentionRecipients = listing<[number, Domain, Instant], LeasableRow>(database, QUESTIONS.attentionRecipients);
  const recipient = finding<[number, number], LeasableRow>(database, QUESTIONS.recipient);
  const fences = finding<[number], { fence: number | null; recipients: number }>(database, QUESTIONS.fences);
  type MessageColumns = BodyColumns & { queue_id: QueueId; envelope: string; size_bytes: number };
  const message = finding<[number], MessageColumns>(database, QUESTIONS.message);
  const extent = finding<[number], { size_bytes: number; body_file: string | null }>(database, QUESTIONS.extent);
  const hasRecipients = finding<[number], { found: number }>(database, QUESTIONS.hasRecipients);
  const findMessage = finding<[QueueId], { id: number }>(database, QUESTIONS.findMessage);
  return {
    firstOfTurn: ({ by, domain, now }) => (by === 'due' ? firstDue : firstAttention)(domain, now)?.message_id ?? null,
    nextDue: (domain) => nextDue(domain)?.due ?? null,
    nextAttention: (domain) => nextAttention(domain)?.attention ?? null,
    recipientsOfTurn: (id, { by, domain, now }) =>
      (by === 'due' ? dueRecipients : attentionRecipients)(id, domain, now).map(leasable),
    recipient(key) {
      const row = recipient(key.messageId, key.number);
      return row === null ? null : leasable(row);
    },
    fences(id) {
      const row = fences(id);
      return { fence: row?.fence ?? 0, recipients: row?.recipients ?? 0 };
    },
    message(id) {
      const row = message(id);
      if (row === null) return null;
      const body = bodyOf(row);
      const { queue_id: queueId, envelope, size_bytes: sizeBytes } = row;
      return { queueId, envelope, sizeBytes, body, intact: intact(body, row.wire_bytes) };
    },
    extent(id) {
      const row = extent(id);
      return row === null ? null : { sizeBytes: row.size_bytes, bodyFile: row.body_file };
    },
    hasRecipients: (id) => hasRecipients(id) !== null,
    findMessage: (queueId) => findMessage(queueId)?.id ?? null,
  } satisfies Partial<StoreQuestions>;
}

/** Questions asked at start and after a failure. */
function recoveryQuestions(database: DatabaseSync) {
  type LeasedRow = { message_id: number; number: number; domain: Domain; fence: number };
  const leased = listing<[], LeasedRow>(database, QUESTIONS.leased);
  const dueByDomain = walking<[], { domain: Domain; due: Instant & number }>(database, QUESTIONS.dueByDomain);
  const destinations = listing<[], { domain: Domain; down_until: Instant & number }>(database, QUESTIONS.destinations);
  const hosts = listing<[], { host: string; address: string; rung: Rung; since: Instant & number }>(database, QUESTIONS.hosts);
  const policies = listing<[], { policy: string }>(database, QUESTIONS.policies);
  const totals = finding<[], { messages: number; bytes: number }>(database, QUESTIONS.totals);
  const highestId = finding<[], { id: number }>(database, QUESTIONS.highestId);
  type FileRow = { id: number; queue_id: QueueId; body_file: string; wire_bytes: number };
  const bodyFiles = listing<[], FileRow>(database, QUESTIONS.bodyFiles);
  const ownsBodyFile = finding<[string], { found: number }>(database, QUESTIONS.ownsBodyFile);
  return {
    leased: () =>
      leased().map((row) => ({ messageId: row.message_id, number: row.number, domain: row.domain, fence: row.fence })),
    dueByDomain: () => dueByDomain(),
    destinations: () => destinations().map((row) => ({ domain: row.domain, until: row.down_until })),
    hosts: () => hosts().map(({ host, address, rung, since }) => ({ host, address, rung, since })),
    policies: () => policies().map(({ policy }) => JSON.parse(policy) as StoredPolicy),
    totals: () => ({ messages: 0, bytes: 0, ...totals() }),
    highestId: () => highestId()?.id ?? 0,
    bodyFiles: () =>
      bodyFiles().map((row) => ({ id: row.id, queueId: row.queue_id, name: row.body_file, wireBytes: row.wire_bytes })),
    ownsBodyFile: (name) => ownsBodyFile(name) !== null,
  } satisfies Partial<StoreQuestions>;
}

/** The asking half of the store, operators' filters apart. */
export function sqliteQuestions(database: DatabaseSync): Omit<StoreQuestions, 'matching'> {
  return { ...rowQuestions(database), ...recoveryQuestions(database) };
}
