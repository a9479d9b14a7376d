/**
 * Opens the history's file. A file that is damaged or no history is moved aside and a new one begun: nothing depends on what is
 * in it. Durability is not asked for: after a power cut the last seconds may be missing.
 */
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** "PSTH", so that another program's database is not taken for a history. */
const APPLICATION_ID = 0x50535448;
const VERSION = 1;
const CORRUPT = 11;
const NOTADB = 26;

/** What is looked at for every question stands before what is read for few. */
const SCHEMA = `
CREATE TABLE chunk (
  id INTEGER PRIMARY KEY,
  since INTEGER NOT NULL,
  until INTEGER NOT NULL,
  sessions_refused INTEGER NOT NULL,
  messages_refused INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  keys BLOB NOT NULL,
  lines BLOB NOT NULL
) STRICT;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${VERSION};
`;

/** The file, and why the one that was there was moved aside; null where it was not. */
export type OpenedHistory = { readonly database: DatabaseSync; readonly movedAside: string | null };

/** True for what SQLite says of a file that is damaged or no database. */
export function isDamage(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'errcode' in error ? error.errcode : null;
  return typeof code === 'number' && [CORRUPT, NOTADB].includes(code & 0xff);
}

/** Opens or begins the file in a folder that exists. Throws what SQLite and the file system throw where there can be none (no space, no rights). */
export function openHistoryFile(path: string): OpenedHistory {
  const found = tryOpen(path);
  if (typeof found !== 'string') return { database: found, movedAside: null };
  moveAside(path);
  const fresh = tryOpen(path);
  if (typeof fresh === 'string') throw new Error(`a new history cannot be begun: ${fresh}`);
  return { database: fresh, movedAside: found };
}

/** Keeps the file as `….damaged`, in place of an earlier one. */
export function moveAside(path: string): void {
  for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  renameSync(path, `${path}.damaged`);
}

/** The database, or why the file is none of ours. */
function tryOpen(path: string): DatabaseSync | string {
  const database = new DatabaseSync(path, { timeout: 1000 });
  try {
    // Before the first table, or it takes no effect.
    database.exec('PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF');
    database.exec('PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -2048');
    const refusal = prepare(database);
    if (refusal === null) {
      chmodSync(path, 0o600);
      return database;
    }
    database.close();
    return refusal;
  } catch (error) {
    database.close();
    if (isDamage(error)) return error instanceof Error ? error.message : 'damaged';
    throw error;
  }
}

function prepare(database: DatabaseSync): string | null {
  const pragma = (name: string): unknown => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
  const empty = database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n'] === 0;
  if (empty) {
    database.exec(SCHEMA);
    return null;
  }
  if (pragma('application_id') !== APPLICATION_ID) return 'it is no history of this relay';
  return pragma('user_version') === VERSION ? null : 'it is of another version';
}
