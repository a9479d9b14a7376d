/**
 * Where counts of TLS sessions are kept until they are reported, and what is still to be sent. Types only; sqlite-tls-rpt.ts keeps them.
 */
import type { Domain } from '../domain/address.ts';
import type { Instant, Random } from '../domain/basics.ts';
import type { SessionCount } from '../domain/tls-report.ts';

/** The report on one day of one domain. */
export type ReportKey = { readonly day: number; readonly domain: Domain };

/** One thing to do about a report. */
export type ReportTask = ReportKey & {
  /** The URI to send it to; null: the domain is still to be asked where. */
  readonly uri: string | null;
  /** Tries so far. */
  readonly tries: number;
  /** No try is made after this; null before the first. */
  readonly until: Instant | null;
};

/** Counts of one policy and result; JSON as in `SessionCount`. */
export type StoredCount = Pick<SessionCount, 'policy' | 'result' | 'count'>;

/** Every call is one transaction and may throw what SQLite throws. */
export type TlsRptStore = {
  /** Letters and digits drawn when the store was made. */
  readonly instance: string;
  /** Adds counts; `chance` draws when a new report is due. Returns how many sessions were dropped over the bounds. */
  add(counts: readonly SessionCount[], chance: Random): number;
  /** Tasks that are due, those first that have been longest. */
  due(now: Instant, limit: number): readonly ReportTask[];
  counts(key: ReportKey): readonly StoredCount[];
  /** In place of the question where: one task for each URI, due now. None: the report is done. */
  addressed(key: ReportKey, uris: readonly string[], now: Instant): void;
  /** Puts a task off. */
  retry(task: ReportTask, due: Instant, until: Instant): void;
  /** Takes a task away; with a report's last one its counts go. */
  done(task: ReportTask): void;
  close(): void;
};
