/**
 * What SQLite and the file system throw, as the spool's own words. The only place that looks at error codes.
 */
import type { SpoolProblem } from './spool.ts';
import type { StoreFault } from './spool-store.ts';

/** Primary result codes of SQLite (the low byte of an extended code). */
const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const CONSTRAINT = 19;
const NOTADB = 26;

const KIND_BY_CODE: Readonly<Record<number, SpoolProblem['kind']>> = { [FULL]: 'disk-full', [READONLY]: 'read-only' };
const KIND_BY_ERRNO: Readonly<Record<string, SpoolProblem['kind']>> = {
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EROFS: 'read-only',
  EACCES: 'read-only',
  EPERM: 'read-only',
};
const PLAIN: Readonly<Record<number, string>> = {
  [BUSY]: 'another process holds the queue file',
  [CORRUPT]: 'the queue file is damaged',
  [CANTOPEN]: 'the queue file cannot be opened',
  [NOTADB]: 'the file is no queue database, or it is damaged',
};

type Coded = { readonly errcode?: unknown; readonly code?: unknown };

/** SQLite's primary result code, null where the error is not SQLite's. */
function resultCode(error: unknown): number | null {
  const code = (error as Coded | null)?.errcode;
  return typeof code === 'number' ? code & 0xff : null;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The problem behind something thrown by node:sqlite or node:fs. */
export function problemOf(error: unknown): SpoolProblem {
  const result = resultCode(error);
  if (result !== null) {
    const plain = PLAIN[result];
    const detail = plain === undefined ? message(error) : `${plain} (${message(error)})`;
    return { kind: KIND_BY_CODE[result] ?? 'broken', detail };
  }
  const errno = (error as Coded | null)?.code;
  return { kind: (typeof errno === 'string' ? KIND_BY_ERRNO[errno] : undefined) ?? 'broken', detail: message(error) };
}

/** What the error means for the transaction it came up in. */
export function faultOf(error: unknown): StoreFault {
  const problem = problemOf(error);
  const result = resultCode(error);
  if (result === CONSTRAINT) return { kind: 'conflict', problem };
  // Damage is where it is: other rows may be readable. What is neither SQLite's nor the system's is a bug in one operation.
  const local = result === CORRUPT || result === NOTADB || (result === null && problem.kind === 'broken');
  return { kind: local ? 'operation' : 'storage', problem };
}
