/**
 * Opens the queue file: the lock that keeps a second process out, the settings durability rests on (read back, or no start),
 * the schema. Never reads or copies the file by other means: closing such a descriptor would drop SQLite's own locks (POSIX).
 */
import { accessSync, chmodSync, closeSync, constants, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { err, ok, type Result } from '../domain/basics.ts';
import { QUEUE_0001 } from './migrations/0001-queue.ts';
import { POLICIES_0002 } from './migrations/0002-sts-policies.ts';
import { ATTENTION_0003 } from './migrations/0003-attention.ts';
import type { SpoolProblem } from './spool.ts';
import { problemOf } from './sqlite-errors.ts';

/** In order, append-only; the number of those applied is the file's `user_version`. */
const MIGRATIONS: readonly string[] = [QUEUE_0001, POLICIES_0002, ATTENTION_0003];
/** "PSTN", so that another program's database is not taken for a queue. */
const APPLICATION_ID = 0x5053544e;
/** At 4 KiB pages a message of 4 KiB fills 1.15 pages; larger pages write more for less. */
const PAGE_SIZE = 4096;
const CACHE_KIB = 32_768;
/** 4 MiB of log: a checkpoint stalls accepts for a few milliseconds, and hot pages are still written once for many changes. */
const CHECKPOINT_PAGES = 1000;
const WAL_LIMIT_BYTES = 64 * 1024 * 1024;

const broken = (detail: string): { readonly ok: false; readonly error: SpoolProblem } => err({ kind: 'broken', detail });

/** Makes the folder (0700) and sees to it that its own entry is on disk. Throws what node:fs throws. */
export function ensureFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  syncFolder(dirname(path));
}

/** Makes created, renamed and removed names in the folder durable. Throws what node:fs throws. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * Takes the lock `<path>.lock` for the life of the returned handle: a database of its own, so that the kernel frees it with the
 * process however that ends, and so that the queue file may be closed and reopened under it.
 */
export function lockQueue(path: string): Result<Disposable, SpoolProblem> {
  try {
    ensureFolder(dirname(path));
    const lock = new DatabaseSync(`${path}.lock`, { timeout: 0 });
    try {
      lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    } catch (error) {
      lock.close();
      throw error;
    }
    return ok({ [Symbol.dispose]: () => lock.close() });
  } catch (error) {
    const problem = problemOf(error);
    const busy = problem.detail.startsWith('another process');
    return err(busy ? { kind: 'broken', detail: `${path} is in use by another process` } : problem);
  }
}

/** The queue file, ready for work and of this schema. The caller holds the lock. */
export function openDatabase(path: string): Result<DatabaseSync, SpoolProblem> {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: 5000, enableForeignKeyConstraints: false });
    const refusal = prepare(database, path);
    if (refusal === null) {
      // Log and index files take their rights from this one. By name, never through a descriptor: see above.
      chmodSync(path, 0o600);
      syncFolder(dirname(path));
      return ok(database);
    }
    database.close();
    return broken(refusal);
  } catch (error) {
    if (database?.isOpen === true) database.close();
    const problem = problemOf(error);
    // SQLite only says that it cannot open its log; the folder knows why.
    const { kind, detail } = (problem.kind === 'broken' ? unwritable(dirname(path)) : null) ?? problem;
    return err({ kind, detail: `${path}: ${detail}` });
  }
}

/** Why nothing can be written in the folder, null where it can. */
function unwritable(folder: string): SpoolProblem | null {
  try {
    accessSync(folder, constants.W_OK);
    return null;
  } catch (error) {
    return problemOf(error);
  }
}

/** The value of a pragma. */
export function pragma(database: DatabaseSync, name: string): string | number | null {
  const value = Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
  return typeof value === 'string' || typeof value === 'number' ? value : null;
}

/** Settings and schema. Returns why the file must not be used, null where it may. */
function prepare(database: DatabaseSync, path: string): string | null {
  const version = Number(pragma(database, 'user_version'));
  const tables = Number(Object.values(database.prepare('SELECT count(*) FROM sqlite_schema').get() ?? {})[0]);
  const fresh = version === 0 && tables === 0;
  if (!fresh && pragma(database, 'application_id') !== APPLICATION_ID) return `${path} is a database of another program`;
  if (version > MIGRATIONS.length) {
    return `${path} was written by a newer version (schema ${version}, this one knows ${MIGRATIONS.length}): it is left untouched`;
  }
  if (fresh) database.exec(`PRAGMA page_size = ${PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL`);
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
    PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}`);
  if (pragma(database, 'journal_mode') !== 'wal') return `${path}: the file system does not allow a write-ahead log`;
  if (pragma(database, 'synchronous') !== 2) return `${path}: synchronous=FULL did not take`;
  migrate(database, version);
  return null;
}

function migrate(database: DatabaseSync, from: number): void {
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < from) continue;
    database.exec(
      `BEGIN IMMEDIATE; ${sql}; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${index + 1}; COMMIT`,
    );
  }
}
