/**
 * Counts of TLS sessions in a small SQLite file beside the queue. They survive a restart; of a power cut the last second may be
 * missing, and a damaged file is moved aside and begun anew: reports are statistics.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Domain } from '../domain/address.ts';
import type { Instant, Random } from '../domain/basics.ts';
import type { SessionCount } from '../domain/tls-report.ts';
import { reportDue } from './tls-rpt-policy.ts';
import type { ReportKey, ReportTask, StoredCount, TlsRptStore } from './tls-rpt-store.ts';

/** Domains counted on one day; further ones are dropped. */
const MOST_DOMAINS = 50_000;
/** Different policies and results of one domain on one day; further failures lose their addresses, further policies are dropped. */
const MOST_ROWS = 500;
/** 256 MiB in pages of 4 KiB. */
const MOST_PAGES = 65_536;
const VERSION = 1;
const DAMAGE = [11, 26];

const SCHEMA = `
CREATE TABLE sessions (
  day INTEGER NOT NULL, domain TEXT NOT NULL, policy TEXT NOT NULL, result TEXT NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (day, domain, policy, result)
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
  day INTEGER NOT NULL, domain TEXT NOT NULL, uri TEXT NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL, until INTEGER,
  PRIMARY KEY (day, domain, uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_due ON tasks (due);
CREATE TABLE instance (name TEXT NOT NULL) STRICT;
PRAGMA user_version = ${VERSION};
`;

/** Opens or begins the file. Throws what SQLite and the file system throw where there can be none. */
export function openTlsRptStore(path: string): TlsRptStore {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return new Store(openFile(path));
  } catch (error) {
    if (!isDamage(error)) throw error;
    for (const suffix of ['-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
    renameSync(path, `${path}.damaged`);
    return new Store(openFile(path));
  }
}

const isDamage = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && DAMAGE.includes(error.errcode & 0xff);

function openFile(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 1000 });
  try {
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA max_page_count = ${MOST_PAGES}`);
    if (database.prepare('PRAGMA user_version').get()?.['user_version'] !== VERSION) {
      database.exec(`BEGIN; ${SCHEMA} COMMIT`);
      database.prepare('INSERT INTO instance VALUES (?)').run(randomBytes(6).toString('hex'));
    }
    chmodSync(path, 0o600);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

const SQL = {
  more: 'UPDATE sessions SET count = count + ? WHERE day = ? AND domain = ? AND policy = ? AND result = ?',
  rows: 'SELECT count(*) AS n FROM sessions WHERE day = ? AND domain = ?',
  first: 'INSERT INTO sessions VALUES (?, ?, ?, ?, ?)',
  known: 'SELECT 1 AS n FROM tasks WHERE day = ? AND domain = ? LIMIT 1',
  domains: 'SELECT count(DISTINCT domain) AS n FROM tasks WHERE day = ?',
  task: 'INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?, 0, NULL)',
  due: 'SELECT day, domain, uri, tries, until FROM tasks WHERE due <= ? ORDER BY due LIMIT ?',
  counts: 'SELECT policy, result, count FROM sessions WHERE day = ? AND domain = ? ORDER BY policy, result',
  retry: 'UPDATE tasks SET due = ?, tries = tries + 1, until = ? WHERE day = ? AND domain = ? AND uri = ?',
  done: 'DELETE FROM tasks WHERE day = ? AND domain = ? AND uri = ?',
  forget: 'DELETE FROM sessions WHERE day = ? AND domain = ?',
} as const;

type Statements = Readonly<Record<keyof typeof SQL, ReturnType<DatabaseSync['prepare']>>>;
type TaskRow = {
  readonly day: number;
  readonly domain: Domain;
  readonly uri: string;
  readonly tries: number;
  readonly until: Instant | null;
};

/** The task that asks where a report goes. */
const ASK = '';

class Store implements TlsRptStore {
  readonly instance: string;
  readonly #database: DatabaseSync;
  readonly #sql: Statements;
  /** Domains of the day counted last. */
  #domains = { day: -1, count: 0 };

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#sql = Object.fromEntries(Object.entries(SQL).map(([name, text]) => [name, database.prepare(text)])) as Statements;
    this.instance = String(database.prepare('SELECT name FROM instance').get()?.['name']);
  }

  add(counts: readonly SessionCount[], chance: Random): number {
    return this.#transaction(() =>
      counts.reduce((dropped, count) => dropped + (this.#addOne(count, chance) ? 0 : count.count), 0),
    );
  }

  due(now: Instant, limit: number): readonly ReportTask[] {
    const rows = this.#sql.due.all(now, limit) as unknown as readonly TaskRow[];
    return rows.map((row) => ({ ...row, uri: row.uri === ASK ? null : row.uri }));
  }

  counts({ day, domain }: ReportKey): readonly StoredCount[] {
    return this.#sql.counts.all(day, domain) as unknown as readonly StoredCount[];
  }

  addressed({ day, domain }: ReportKey, uris: readonly string[], now: Instant): void {
    this.#transaction(() => {
      for (const uri of uris) this.#sql.task.run(day, domain, uri, now);
      this.#end(day, domain, ASK);
    });
  }

  retry({ day, domain, uri }: ReportTask, due: Instant, until: Instant): void {
    this.#sql.retry.run(due, until, day, domain, uri ?? ASK);
  }

  done({ day, domain, uri }: ReportTask): void {
    this.#transaction(() => this.#end(day, domain, uri ?? ASK));
  }

  close(): void {
    this.#database.close();
  }

  #end(day: number, domain: Domain, uri: string): void {
    this.#sql.done.run(day, domain, uri);
    if (this.#sql.known.get(day, domain) === undefined) this.#sql.forget.run(day, domain);
  }

  #addOne({ day, reportDomain, policy, result, count }: SessionCount, chance: Random): boolean {
    if (this.#sql.more.run(count, day, reportDomain, policy, result).changes > 0) return true;
    if (this.#sql.known.get(day, reportDomain) === undefined && !this.#begin(day, reportDomain, chance)) return false;
    if (numberOf(this.#sql.rows.get(day, reportDomain)) < MOST_ROWS) {
      this.#sql.first.run(day, reportDomain, policy, result, count);
      return true;
    }
    const bare = withoutAddresses(result);
    if (this.#sql.more.run(count, day, reportDomain, policy, bare).changes > 0) return true;
    if (numberOf(this.#sql.rows.get(day, reportDomain)) >= 2 * MOST_ROWS) return false;
    this.#sql.first.run(day, reportDomain, policy, bare, count);
    return true;
  }

  /** Makes room for a domain's report; false where the day has too many. */
  #begin(day: number, domain: Domain, chance: Random): boolean {
    if (this.#domains.day !== day) this.#domains = { day, count: numberOf(this.#sql.domains.get(day)) };
    if (this.#domains.count >= MOST_DOMAINS) return false;
    this.#domains.count += 1;
    this.#sql.task.run(day, domain, ASK, reportDue(day, chance()));
    return true;
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#domains = { day: -1, count: 0 };
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

const numberOf = (row: unknown): number => Number((row as { readonly n?: number } | undefined)?.n ?? 0);

/** A result without what tells one host from another. */
function withoutAddresses(result: string): string {
  const parsed = JSON.parse(result) as object;
  return JSON.stringify({ ...parsed, ...('type' in parsed ? { reason: null, sendingIp: null, mx: null, ip: null } : {}) });
}
