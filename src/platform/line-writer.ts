/**
 * Writes lines to a file descriptor that several threads share, standard output above all. A write holds whole lines and at
 * most PIPE_BUF bytes, so that the lines of two threads never mix in a pipe (POSIX write(2)); a longer line goes in a write of its own.
 * Writes are synchronous: 4 KB into a pipe costs microseconds, and what was logged before a crash is out.
 */
import { writeSync } from 'node:fs';

/** Lines gathered during one turn of the event loop. */
export type LineWriter = {
  /** Takes a line that ends in a line feed. It is out after the current turn of the event loop, or at once where the buffer is full. */
  write(line: string): void;
  /** Writes what is gathered; gives up after a second where the reader takes nothing. For the end of the thread. */
  flush(): void;
  /** Lines given up since the start, because the reader was slow or gone. */
  readonly lost: number;
};

/** Writes bytes and says how many were taken; throws with `code` EAGAIN where the reader is not ready. */
export type WriteBytes = (bytes: Uint8Array) => number;

/** POSIX PIPE_BUF on Linux: a write up to this size into a pipe is never split. */
const WRITE_BYTES = 4096;
/** What may wait for a slow reader of a non-blocking pipe. */
const BACKLOG_BYTES = 4 * 1024 * 1024;
const RETRY_AFTER = 20;
const FLUSH_PATIENCE = 1000;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** A writer onto a file descriptor. */
export const openLineWriter = (descriptor: number): LineWriter => lineWriter((bytes) => writeSync(descriptor, bytes));

/** A writer onto anything that takes bytes. */
export function lineWriter(writeBytes: WriteBytes): LineWriter {
  const buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  let used = 0;
  let scheduled = false;
  /** Chunks of whole lines that the reader did not take yet, the first one perhaps in part. */
  const backlog: Buffer[] = [];
  let backlogBytes = 0;
  let lost = 0;

  const put = (bytes: Buffer): void => {
    const rest = backlog.length > 0 ? bytes : attempt(writeBytes, bytes);
    if (rest === null) return;
    if (rest === 'gone' || backlogBytes + rest.length > BACKLOG_BYTES) {
      lost += countLines(bytes);
      return;
    }
    // A copy: `bytes` may be the buffer, which is filled anew.
    backlog.push(Buffer.from(rest));
    backlogBytes += rest.length;
  };
  const drainBacklog = (): void => {
    for (let first = backlog[0]; first !== undefined; first = backlog[0]) {
      const rest = attempt(writeBytes, first);
      backlogBytes -= first.length - (rest === null || rest === 'gone' ? 0 : rest.length);
      if (rest === 'gone') lost += countLines(first);
      if (rest === null || rest === 'gone') backlog.shift();
      else {
        backlog[0] = rest;
        return;
      }
    }
  };
  const writeBuffer = (): void => {
    drainBacklog();
    if (used > 0) put(buffer.subarray(0, used));
    used = 0;
  };
  const turn = (): void => {
    scheduled = false;
    writeBuffer();
    if (backlog.length > 0) schedule();
  };
  const schedule = (): void => {
    scheduled = true;
    if (backlog.length > 0) setTimeout(turn, RETRY_AFTER).unref();
    else setImmediate(turn);
  };

  return {
    write: (line) => {
      // A UTF-16 unit takes three bytes at most: mostly this spares counting.
      const bytes = line.length * 3 <= WRITE_BYTES - used ? 0 : Buffer.byteLength(line);
      if (bytes > WRITE_BYTES - used) writeBuffer();
      if (bytes > WRITE_BYTES) put(Buffer.from(line));
      else used += buffer.write(line, used);
      if (!scheduled) schedule();
    },
    flush: () => {
      writeBuffer();
      for (let waited = 0; backlog.length > 0 && waited < FLUSH_PATIENCE; waited += RETRY_AFTER) {
        Atomics.wait(pause, 0, 0, RETRY_AFTER);
        drainBacklog();
      }
    },
    get lost() {
      return lost;
    },
  };
}

/** What is left of `bytes`: null where all of it is out, 'gone' where nobody reads any more. */
function attempt(writeBytes: WriteBytes, bytes: Buffer): Buffer | 'gone' | null {
  let at = 0;
  try {
    while (at < bytes.length) at += writeBytes(bytes.subarray(at));
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    return code === 'EAGAIN' || code === 'EINTR' ? bytes.subarray(at) : 'gone';
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (const byte of bytes) if (byte === 0x0a) lines += 1;
  return lines;
}
