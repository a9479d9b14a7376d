/**
 * Schema 1: the queue as first laid out. Append-only: a released migration is never edited, the next change is 0002.
 * `auto_vacuum` and `page_size` are decided in sqlite-database.ts, before the first table exists.
 */

/**
 * State codes: 0 queued, 1 leased, 2 held, 3 leased out of held (`bounce` by an operator); bit 1 is "leased", so what a lost
 * lease falls back to is `state & 2`. The body stands last in its row: a scan of the other columns never reads its overflow
 * pages. `recipients_leased` exists for recovery, `recipients_due` for the scheduler; a message delivered at once enters only
 * the first, at its right end.
 */
export const QUEUE_0001 = `
CREATE TABLE messages (
  id INTEGER PRIMARY KEY,
  queue_id TEXT NOT NULL UNIQUE,
  received_at INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  reverse_path TEXT NOT NULL,
  wire_bytes INTEGER NOT NULL,
  checksum INTEGER,
  body_file TEXT,
  envelope TEXT NOT NULL,
  body BLOB
) STRICT;
CREATE INDEX messages_body_file ON messages (body_file) WHERE body_file IS NOT NULL;

CREATE TABLE recipients (
  message_id INTEGER NOT NULL,
  number INTEGER NOT NULL,
  state INTEGER NOT NULL,
  due INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  delay_notice_sent INTEGER NOT NULL,
  local_part TEXT NOT NULL,
  domain TEXT NOT NULL,
  notify TEXT,
  original_recipient TEXT,
  connector TEXT,
  failure TEXT,
  PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipients_due ON recipients (domain, due, message_id) WHERE state = 0;
CREATE INDEX recipients_leased ON recipients (message_id) WHERE state IN (1, 3);
CREATE INDEX recipients_held ON recipients (message_id) WHERE state = 2;

CREATE TABLE destinations (
  domain TEXT NOT NULL PRIMARY KEY,
  down_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE host_memory (
  host TEXT NOT NULL,
  address TEXT NOT NULL,
  rung TEXT NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY (host, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX host_memory_since ON host_memory (since);

CREATE TABLE totals (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  messages INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0, 0);
`;
