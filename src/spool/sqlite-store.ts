/** The store on node:sqlite: an open database with its statements prepared. Synchronous; lives inside the spool thread. */
import type { DatabaseSync } from 'node:sqlite';
import { ok, type Result } from '../domain/basics.ts';
import type { SpoolProblem } from './spool.ts';
import type { Store } from './spool-store.ts';
import { sqliteChanges } from './sqlite-changes.ts';
import { openDatabase, pragma } from './sqlite-database.ts';
import { faultOf } from './sqlite-errors.ts';
import { sqliteQuestions } from './sqlite-questions.ts';
import { sqliteViews } from './sqlite-views.ts';

/** Shrinking starts where this many pages (64 MiB) are free and they are at least half of the file. */
const MANY_FREE_PAGES = 16_384;

/** Opens the file, or says why it must not be used. The caller holds the lock. */
export function openSqliteStore(path: string): Result<Store, SpoolProblem> {
  const database = openDatabase(path);
  return database.ok ? ok(storeOn(database.value)) : database;
}

function storeOn(database: DatabaseSync): Store {
  const questions = sqliteQuestions(database);
  const begin = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  return {
    ...sqliteChanges(database),
    ...questions,
    ...sqliteViews(database, questions.totals),
    begin: () => void begin.run(),
    commit: () => void commit.run(),
    rollback: () => {
      if (database.isTransaction) database.exec('ROLLBACK');
    },
    shrink: (pages) => {
      const free = Number(pragma(database, 'freelist_count'));
      if (free < MANY_FREE_PAGES || free * 2 < Number(pragma(database, 'page_count'))) return;
      database.exec(`PRAGMA incremental_vacuum(${pages})`);
    },
    faultOf,
    close: () => {
      try {
        if (database.isOpen) database.close();
      } catch {
        // The handle is given up for good; what was committed is in the file, and recovery at the next open finds it.
      }
    },
  };
}
