/**
 * Keeps a message's octets while they arrive: in memory as long as it is small, then in a file of the spool, at the pace of that file.
 * Knows nothing of SMTP. Its first octets are the trace field.
 */
import type { Result } from '../domain/basics.ts';
import { err, ok } from '../domain/basics.ts';
import type { Body } from '../domain/queue.ts';
import type { BodyWriter, Spool, SpoolProblem } from '../spool/spool.ts';

/** Octets of wire form up to which a body stays in memory. */
export const SMALL_BODY_BYTES = 64 * 1024;
/** Pieces are joined at this number: a client that sends octet by octet must not cost an object each. */
const MOST_PIECES = 64;

/** What the sink writes to: the part of the spool that takes bodies. */
export type BodyStore = Pick<Spool, 'createBody'>;

/** Collects one body. */
export class BodySink {
  readonly #store: BodyStore;
  #pieces: Buffer[];
  #bytes: number;
  #writer: BodyWriter | null = null;
  #problem: SpoolProblem | null = null;
  #pending: Promise<void> | null = null;
  #dropped = false;

  constructor(store: BodyStore, head: Buffer) {
    this.#store = store;
    this.#pieces = [head];
    this.#bytes = head.length;
  }

  /** Octets taken so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the next octets, without copying. A promise: nothing more may be added until it resolves; it never rejects. */
  add(piece: Buffer): Promise<void> | null {
    if (this.#dropped || this.#problem !== null) return null;
    this.#bytes += piece.length;
    if (this.#writer === null && this.#pending === null && this.#bytes <= SMALL_BODY_BYTES) {
      this.#pieces.push(piece);
      if (this.#pieces.length >= MOST_PIECES) this.#pieces = [Buffer.concat(this.#pieces)];
      return null;
    }
    this.#pending = this.#write(this.#pending, piece);
    return this.#pending;
  }

  async #write(before: Promise<void> | null, piece: Buffer): Promise<void> {
    await before;
    if (this.#writer === null && !(await this.#openFile())) return;
    const written = await this.#writer?.write(piece);
    if (written?.ok === false) await this.#fail(written.error);
    else if (this.#dropped) await this.#writer?.abandon();
  }

  async #openFile(): Promise<boolean> {
    if (this.#dropped || this.#problem !== null) return false;
    const created = await this.#store.createBody();
    if (!created.ok) {
      this.#problem = created.error;
      return false;
    }
    this.#writer = created.value;
    const written = await this.#writer.write(Buffer.concat(this.#pieces));
    this.#pieces = [];
    if (!written.ok) await this.#fail(written.error);
    return written.ok;
  }

  async #fail(problem: SpoolProblem): Promise<void> {
    this.#problem = problem;
    await this.#writer?.abandon();
  }

  /** The body, durable where it is a file, or why it could not be kept. After an error nothing is left behind. */
  async finish(): Promise<Result<Body, SpoolProblem>> {
    await this.#pending;
    if (this.#problem !== null) return err(this.#problem);
    if (this.#writer === null) return ok({ kind: 'memory', wire: this.#joined() });
    const finished = await this.#writer.finish();
    if (!finished.ok) await this.#fail(finished.error);
    return finished;
  }

  /** One exact buffer, not a slice of a pool: it may be transferred to another thread. */
  #joined(): Buffer {
    const wire = Buffer.allocUnsafeSlow(this.#bytes);
    let at = 0;
    for (const piece of this.#pieces) at += piece.copy(wire, at);
    this.#pieces = [];
    return wire;
  }

  /** Forgets the body; a file is removed as soon as the write under way is over. Idempotent, never rejects. */
  async drop(): Promise<void> {
    this.#dropped = true;
    this.#pieces = [];
    await this.#pending;
    await this.#writer?.abandon();
  }
}
