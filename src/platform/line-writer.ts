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
export const lineWriter = (writeBytes: WriteBytes): LineWriter => new BufferedLineWriter(writeBytes);

class BufferedLineWriter implements LineWriter {
  readonly #writeBytes: WriteBytes;
  readonly #buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  #used = 0;
  #scheduled = false;
  /** Chunks of whole lines that the reader did not take yet, the first one perhaps in part. */
  readonly #backlog: Buffer[] = [];
  #backlogBytes = 0;
  #lost = 0;

  constructor(writeBytes: WriteBytes) {
    this.#writeBytes = writeBytes;
  }

  get lost(): number {
    return this.#lost;
  }

  write(line: string): void {
    // A UTF-16 unit takes three bytes at most: mostly this spares counting.
    const room = WRITE_BYTES - this.#used;
    const bytes = line.length * 3 <= room ? 0 : Buffer.byteLength(line);
    if (bytes > room) this.#writeBuffer();
    if (bytes > WRITE_BYTES) this.#put(Buffer.from(line));
    else this.#used += this.#buffer.write(line, this.#used);
    if (!this.#scheduled) this.#schedule();
  }

  flush(): void {
    this.#writeBuffer();
    for (let waited = 0; this.#backlog.length > 0 && waited < FLUSH_PATIENCE; waited += RETRY_AFTER) {
      Atomics.wait(pause, 0, 0, RETRY_AFTER);
      this.#drainBacklog();
    }
  }

  #schedule(): void {
    this.#scheduled = true;
    if (this.#backlog.length > 0) setTimeout(this.#turn, RETRY_AFTER).unref();
    else setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#writeBuffer();
    if (this.#backlog.length > 0) this.#schedule();
  };

  #writeBuffer(): void {
    this.#drainBacklog();
    if (this.#used > 0) this.#put(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }

  #put(bytes: Buffer): void {
    const rest = this.#backlog.length > 0 ? bytes : attempt(this.#writeBytes, bytes);
    if (rest === null) return;
    if (rest === 'gone' || this.#backlogBytes + rest.length > BACKLOG_BYTES) {
      this.#lost += countLines(bytes);
      return;
    }
    // A copy: `bytes` may be the buffer, which is filled anew.
    this.#backlog.push(Buffer.from(rest));
    this.#backlogBytes += rest.length;
  }

  #drainBacklog(): void {
    for (let first = this.#backlog[0]; first !== undefined; first = this.#backlog[0]) {
      const rest = attempt(this.#writeBytes, first);
      if (rest !== null && rest !== 'gone') {
        this.#backlogBytes -= first.length - rest.length;
        this.#backlog[0] = rest;
        return;
      }
      if (rest === 'gone') this.#lost += countLines(first);
      this.#backlogBytes -= first.length;
      this.#backlog.shift();
    }
  }
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
