/** The queue's changing SQL: every INSERT, UPDATE and DELETE, prepared once. Runs inside the caller's transaction. */
import type { DatabaseSync } from 'node:sqlite';
import type { Recipient } from '../domain/envelope.ts';
import { policyEnd } from '../domain/mta-sts.ts';
import { UNTRIED_ATTENTION_AFTER } from './attention-policy.ts';
import type { StoreChanges } from './spool-store.ts';
import { changing } from './sqlite-statement.ts';

/** `untriedAttention`; read only where the row has no time of its own. */
const UNTRIED_ATTENTION = `(SELECT received_at FROM messages WHERE id = message_id) + ${UNTRIED_ATTENTION_AFTER}`;

/** By purpose; exported so that a test can ask for their query plans. */
export const CHANGES = {
  insertMessage: `INSERT INTO messages (id, queue_id, received_at, size_bytes, reverse_path, wire_bytes, checksum, body_file, envelope, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertRecipient: `INSERT INTO recipients (message_id, number, state, due, attempts, fence, delay_notice_sent, local_part, domain, notify, original_recipient, attention)
    VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)`,
  deleteMessage: 'DELETE FROM messages WHERE id = ?',
  deleteRecipients: 'DELETE FROM recipients WHERE message_id = ?',
  deleteRecipient: 'DELETE FROM recipients WHERE message_id = ? AND number = ?',
  deferRecipient: `UPDATE recipients SET state = 0, due = ?, attention = ?, connector = ?, failure = ?, delay_notice_sent = ?,
    attempts = max(attempts - ?, 0) WHERE message_id = ? AND number = ?`,
  unlease: `UPDATE recipients SET state = state & 2, due = ?, attempts = max(attempts - ?, 0),
    attention = coalesce(attention, ${UNTRIED_ATTENTION}) WHERE message_id = ? AND number = ? AND state IN (1, 3)`,
  unleaseAll: `UPDATE recipients SET state = state & 2, due = ?, attention = coalesce(attention, ${UNTRIED_ATTENTION})
    WHERE state IN (1, 3)`,
  leaseDue: `UPDATE recipients SET state = 1, attempts = attempts + 1, fence = ?
    WHERE message_id = ? AND +domain = ? AND state = 0 AND +due <= ?`,
  leaseAttention: `UPDATE recipients SET state = 1, attempts = attempts + 1, fence = ?
    WHERE message_id = ? AND +domain = ? AND state = 0 AND +attention <= ?`,
  leaseOne: 'UPDATE recipients SET state = state | 1, fence = ? WHERE message_id = ? AND number = ? AND state IN (0, 2)',
  hold: 'UPDATE recipients SET state = 2 WHERE message_id = ? AND number = ? AND state = 0',
  quarantine: 'UPDATE recipients SET state = 2, failure = ? WHERE message_id = ? AND state = 0',
  makeDue: `UPDATE recipients SET state = 0, due = ?, attention = coalesce(attention, ${UNTRIED_ATTENTION})
    WHERE message_id = ? AND number = ? AND state IN (0, 2)`,
  markDestination: 'INSERT INTO destinations VALUES (?, ?) ON CONFLICT (domain) DO UPDATE SET down_until = excluded.down_until',
  unmarkDestinations: 'DELETE FROM destinations WHERE down_until <= ?',
  rememberHost: `INSERT INTO host_memory VALUES (?, ?, ?, ?)
    ON CONFLICT (host, address) DO UPDATE SET rung = excluded.rung, since = excluded.since`,
  forgetHost: 'DELETE FROM host_memory WHERE host = ? AND address = ?',
  pruneOldHosts: 'DELETE FROM host_memory WHERE since < ?',
  pruneManyHosts: `DELETE FROM host_memory WHERE (host, address) IN
    (SELECT host, address FROM host_memory ORDER BY since LIMIT max((SELECT count(*) FROM host_memory) - ?, 0))`,
  keepPolicy: `INSERT INTO sts_policies VALUES (?, ?, ?)
    ON CONFLICT (domain) DO UPDATE SET ends = excluded.ends, policy = excluded.policy`,
  pruneOldPolicies: 'DELETE FROM sts_policies WHERE ends <= ?',
  pruneManyPolicies: `DELETE FROM sts_policies WHERE domain IN
    (SELECT domain FROM sts_policies ORDER BY ends LIMIT max((SELECT count(*) FROM sts_policies) - ?, 0))`,
  writeTotals: 'UPDATE totals SET messages = ?, bytes = ?',
} as const;

const notifyText = (recipient: Recipient): string | null => recipient.notify?.join(',') ?? null;

/** The changing half of the store. */
export function sqliteChanges(database: DatabaseSync): StoreChanges {
  const sql = Object.fromEntries(Object.entries(CHANGES).map(([name, text]) => [name, changing(database, text)])) as Record<
    keyof typeof CHANGES,
    ReturnType<typeof changing>
  >;
  return {
    insertMessage(row) {
      const body = row.body;
      const inRow = body.kind === 'bytes';
      const wireBytes = inRow ? body.wire.length : body.wireBytes;
      const where = inRow ? ([body.checksum, null] as const) : ([null, body.name] as const);
      const head = [row.id, row.queueId, row.receivedAt, row.sizeBytes, row.reversePath, wireBytes] as const;
      sql.insertMessage(...head, ...where, row.envelope, inRow ? body.wire : null);
    },
    insertRecipient({ messageId, number, recipient, due, leased, attention }) {
      const one = leased ? 1 : 0;
      const { localPart, domain } = recipient.mailbox;
      const dsn = [notifyText(recipient), recipient.originalRecipient] as const;
      sql.insertRecipient(messageId, number, one, due, one, one, localPart, domain, ...dsn, attention);
    },
    deleteMessage(id) {
      sql.deleteRecipients(id);
      sql.deleteMessage(id);
    },
    deleteRecipient: (key) => void sql.deleteRecipient(key.messageId, key.number),
    deferRecipient({ messageId, number, due, attention, connector, failure, delayNoticeSent, untried }) {
      const what = [due, attention, connector, JSON.stringify(failure)] as const;
      sql.deferRecipient(...what, delayNoticeSent ? 1 : 0, untried ? 1 : 0, messageId, number);
    },
    unlease: (key, due, untried) => void sql.unlease(due, untried ? 1 : 0, key.messageId, key.number),
    unleaseAll: (due) => sql.unleaseAll(due),
    leaseTurn: (messageId, { by, domain, now }, fence) =>
      void (by === 'due' ? sql.leaseDue : sql.leaseAttention)(fence, messageId, domain, now),
    leaseOne: (key, fence) => void sql.leaseOne(fence, key.messageId, key.number),
    hold: (key) => void sql.hold(key.messageId, key.number),
    quarantine: (messageId, failure) => sql.quarantine(JSON.stringify(failure), messageId),
    makeDue: (key, due) => void sql.makeDue(due, key.messageId, key.number),
    markDestination: (domain, until) => void sql.markDestination(domain, until),
    unmarkDestinations: (until) => void sql.unmarkDestinations(until),
    rememberHost: ({ host, address, rung, since }) => void sql.rememberHost(host, address, rung, since),
    forgetHost: (host, address) => void sql.forgetHost(host, address),
    pruneHosts(before, keep) {
      sql.pruneOldHosts(before);
      sql.pruneManyHosts(keep);
    },
    keepPolicy: (policy) => void sql.keepPolicy(policy.domain, policyEnd(policy), JSON.stringify(policy)),
    prunePolicies(now, keep) {
      sql.pruneOldPolicies(now);
      sql.pruneManyPolicies(keep);
    },
    writeTotals: ({ messages, bytes }) => void sql.writeTotals(messages, bytes),
  };
}
