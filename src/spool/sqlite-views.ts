/** What operators ask of the queue: pages, one message, numbers, and who an action means. Scans stop at their limit. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { Domain } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { QueueId, Recipients } from '../domain/envelope.ts';
import type { DeliveryFailure } from '../domain/outcome.ts';
import type { QueueEntry, QueueFilter, QueueStats, RecipientState } from '../domain/queue.ts';
import type { StoreQuestions, StoreViews } from './spool-store.ts';
import { type BodyColumns, bodyOf, type RecipientColumns, recipientOf } from './sqlite-questions.ts';
import { finding, listing, type Row } from './sqlite-statement.ts';

/** Beyond this many, "how many match" is not counted. */
const COUNT_LIMIT = 10_000;
/** The destinations with most recipients that `stats` tells apart. */
const STATS_DOMAINS = 1000;

const STATE_SQL: Readonly<Record<RecipientState, string>> = {
  queued: 'r.state = 0',
  leased: 'r.state IN (1, 3)',
  held: 'r.state = 2',
};
const STATES: readonly RecipientState[] = ['queued', 'leased', 'held', 'leased'];

/** A FROM and WHERE for a filter, and its parameters. */
export type FilterSql = { readonly from: string; readonly where: string; readonly parameters: readonly SQLInputValue[] };

/**
 * The SQL of a filter. CROSS JOIN fixes SQLite's loop order: messages outside where the filter names messages, recipients
 * outside otherwise, so that rows come in queue order and a scan ends at its limit.
 */
export function filterSql(filter: QueueFilter): FilterSql {
  const where: string[] = ['1'];
  const parameters: SQLInputValue[] = [];
  const add = (sql: string, value: SQLInputValue): void => {
    where.push(sql);
    parameters.push(value);
  };
  if (filter.queueIds !== undefined) add('m.queue_id IN (SELECT value FROM json_each(?))', JSON.stringify(filter.queueIds));
  if (filter.from !== undefined) add('m.reverse_path = ?', filter.from);
  if (filter.domain !== undefined) add('r.domain = ?', filter.domain);
  if (filter.connector !== undefined) add('r.connector = ?', filter.connector);
  if (filter.state !== undefined) where.push(STATE_SQL[filter.state]);
  const byMessage = filter.queueIds !== undefined || filter.from !== undefined;
  const from = byMessage
    ? 'messages m CROSS JOIN recipients r ON r.message_id = m.id'
    : 'recipients r CROSS JOIN messages m ON m.id = r.message_id';
  return { from, where: where.join(' AND '), parameters };
}

/** Columns of a queue entry; `down_until` comes from a left join, for at most a page of rows. */
const ENTRY = `m.queue_id, r.number, m.reverse_path, r.local_part, r.domain, r.state, r.attempts, r.due, m.received_at,
  m.size_bytes, r.connector, r.failure, d.down_until`;
type EntryRow = RecipientColumns & {
  queue_id: QueueId;
  reverse_path: string;
  state: number;
  attempts: number;
  due: Instant & number;
  received_at: Instant & number;
  size_bytes: number;
  connector: string | null;
  failure: string | null;
  down_until: number | null;
};

function entryOf(row: EntryRow): QueueEntry {
  return {
    queueId: row.queue_id,
    number: row.number,
    reversePath: row.reverse_path,
    recipient: `${row.local_part}@${row.domain}`,
    domain: row.domain,
    state: STATES[row.state] ?? 'held',
    attempts: row.attempts,
    due: Math.max(row.due, row.state === 0 ? (row.down_until ?? 0) : 0) as Instant,
    receivedAt: row.received_at,
    sizeBytes: row.size_bytes,
    connector: row.connector,
    lastFailure: row.failure === null ? null : (JSON.parse(row.failure) as DeliveryFailure),
  };
}

const all = <R extends Row>(database: DatabaseSync, sql: string, parameters: readonly SQLInputValue[]): R[] =>
  database.prepare(sql).all(...parameters) as R[];

/** A page of the queue and how many match, null beyond 10,000. */
function list(database: DatabaseSync, filter: QueueFilter, limit: number): ReturnType<StoreViews['list']> {
  const { from, where, parameters } = filterSql(filter);
  const counted = filter.queueIds === undefined && filter.from === undefined ? 'recipients r' : from;
  const countSql = `SELECT count(*) AS total FROM (SELECT 1 FROM ${counted} WHERE ${where} LIMIT ${COUNT_LIMIT + 1})`;
  const total = all<{ total: number }>(database, countSql, parameters)[0]?.total ?? 0;
  const keys = total <= COUNT_LIMIT && from.startsWith('recipients') ? sortedKeys(where) : null;
  const pageSql = `SELECT ${ENTRY} FROM ${keys ?? from} LEFT JOIN destinations d ON d.domain = r.domain
    WHERE ${keys === null ? where : '1'} ORDER BY ${from.startsWith('messages') ? 'm.id' : 'r.message_id'}, r.number LIMIT ?`;
  const entries = total === 0 ? [] : all<EntryRow>(database, pageSql, [...parameters, limit]).map(entryOf);
  return { entries, total: total > COUNT_LIMIT ? null : total };
}

/** Few match: found by whatever index finds them and sorted, rather than by walking the whole queue in order. */
const sortedKeys = (where: string): string => `(SELECT message_id, number FROM recipients r WHERE ${where}) k
  CROSS JOIN recipients r ON r.message_id = k.message_id AND r.number = k.number
  CROSS JOIN messages m ON m.id = r.message_id`;

/** By purpose; exported so that a test can ask for their query plans. */
export const VIEWS = {
  entries: `SELECT ${ENTRY}, r.notify, r.original_recipient, m.envelope FROM messages m CROSS JOIN recipients r ON r.message_id = m.id
    LEFT JOIN destinations d ON d.domain = r.domain WHERE m.queue_id = ? ORDER BY r.number`,
  body: 'SELECT wire_bytes, checksum, body_file, body FROM messages WHERE queue_id = ?',
  queued: 'SELECT domain, count(*) AS recipients, min(message_id) AS oldest FROM recipients WHERE state = 0 GROUP BY domain',
  leased:
    'SELECT domain, count(*) AS recipients, min(message_id) AS oldest FROM recipients WHERE state IN (1, 3) GROUP BY domain',
  held: 'SELECT domain, count(*) AS recipients, min(message_id) AS oldest FROM recipients WHERE state = 2 GROUP BY domain',
  receivedAt: 'SELECT received_at FROM messages WHERE id = ?',
  oldest: 'SELECT received_at FROM messages ORDER BY id LIMIT 1',
} as const;

type DomainRow = { domain: Domain; recipients: number; oldest: number };

/** Numbers of the whole queue; one walk over the index of what is due, none over the messages. */
function statsView(database: DatabaseSync, totals: StoreQuestions['totals']): () => QueueStats {
  const byState = {
    queued: listing<[], DomainRow>(database, VIEWS.queued),
    leased: listing<[], DomainRow>(database, VIEWS.leased),
    held: listing<[], DomainRow>(database, VIEWS.held),
  };
  const receivedAt = finding<[number], { received_at: Instant & number }>(database, VIEWS.receivedAt);
  const oldest = finding<[], { received_at: Instant & number }>(database, VIEWS.oldest);
  return () => {
    const recipients: Record<RecipientState, number> = { queued: 0, leased: 0, held: 0 };
    const domains = new Map<Domain, DomainRow>();
    for (const state of ['queued', 'leased', 'held'] as const) {
      for (const row of byState[state]()) {
        recipients[state] += row.recipients;
        const known = domains.get(row.domain);
        const sum = {
          ...row,
          recipients: row.recipients + (known?.recipients ?? 0),
          oldest: Math.min(row.oldest, known?.oldest ?? row.oldest),
        };
        domains.set(row.domain, sum);
      }
    }
    const most = [...domains.values()].sort((a, b) => b.recipients - a.recipients).slice(0, STATS_DOMAINS);
    return {
      ...totals(),
      recipients,
      oldest: oldest()?.received_at ?? null,
      domains: most.map((row) => ({
        domain: row.domain,
        recipients: row.recipients,
        oldest: receivedAt(row.oldest)?.received_at ?? (0 as Instant),
      })),
    };
  };
}

/** Who an action means: in queue order, after a key, leased ones never. */
export function matchingSql(filter: QueueFilter): FilterSql & { readonly order: string } {
  const sql = filterSql(filter);
  const byMessage = sql.from.startsWith('messages');
  const after = byMessage ? '(m.id, r.number) > (?, ?)' : '(r.message_id, r.number) > (?, ?)';
  return {
    ...sql,
    where: `${sql.where} AND r.state IN (0, 2) AND ${after}`,
    order: byMessage ? 'm.id, r.number' : 'r.message_id, r.number',
  };
}

type MatchedRow = { message_id: number; number: number; domain: Domain; state: number };

/** The views, and `matching`, which shares their filters. */
export function sqliteViews(
  database: DatabaseSync,
  totals: StoreQuestions['totals'],
): StoreViews & Pick<StoreQuestions, 'matching'> {
  const entries = listing<[QueueId], EntryRow & { envelope: string }>(database, VIEWS.entries);
  const body = finding<[QueueId], BodyColumns>(database, VIEWS.body);
  return {
    list: (filter, limit) => list(database, filter, limit),
    show(queueId) {
      const rows = entries(queueId);
      const first = rows[0];
      if (first === undefined) return null;
      return { envelope: first.envelope, recipients: rows.map(recipientOf) as unknown as Recipients, entries: rows.map(entryOf) };
    },
    body(queueId) {
      const row = body(queueId);
      return row === null ? null : bodyOf(row);
    },
    stats: statsView(database, totals),
    matching(filter, after, limit) {
      const { from, where, parameters, order } = matchingSql(filter);
      const sql = `SELECT r.message_id, r.number, r.domain, r.state FROM ${from} WHERE ${where} ORDER BY ${order} LIMIT ?`;
      const rows = all<MatchedRow>(database, sql, [...parameters, after.messageId, after.number, limit]);
      return rows.map((row) => ({ messageId: row.message_id, number: row.number, domain: row.domain, held: row.state === 2 }));
    },
  };
}
