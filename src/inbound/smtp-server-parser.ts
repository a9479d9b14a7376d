/**
 * Cuts what a client sends into command lines and message data. Replaces smtp-server's own reading of the stream: bounded lines,
 * no copying, no stall (a command answered at once never waits for a callback), and nothing more once it is retired.
 */
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';

/** What becomes of what was read. None of these throws. */
export type ParserSink = {
  /** One line, its end taken off. `bareLineFeed`: it ended in LF alone. */
  commandLine(line: Buffer, bareLineFeed: boolean): void;
  /** Octets while a message is read; returns how many of them belonged to it. */
  messageData(chunk: Buffer): number;
  /** A line grew beyond all bounds; what follows cannot be told apart any more. */
  lineTooLong(): void;
  /** Nothing more can be read now: replies go out. */
  flush(): void;
  /** Calls back when more may be read, which is when the client has taken enough of the replies. */
  whenTaken(next: () => void): void;
};

const LF = 10;
const CR = 13;
/** RFC 5321 wants 512 octets for a command, extensions add to it (ORCPT alone 500). */
const LONGEST_LINE = 4096;
/** Commands answered in a row before others get their turn. */
const COMMANDS_AT_ONCE = 100;
const EMPTY = Buffer.alloc(0);

/** The reader of one connection, or of one TLS session on it. */
export class SmtpServerParser extends SMTPStream {
  /** Message data follows, not commands. */
  readingMessage = false;
  readonly #sink: ParserSink;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #next: ((error?: Error | null) => void) | null = null;
  #partial: Buffer = EMPTY;
  #held = false;
  #running = false;

  constructor(sink: ParserSink) {
    super();
    this.#sink = sink;
  }

  /** Reads nothing more until `continue`. */
  hold(): void {
    this.#held = true;
  }

  /** Goes on where `hold` stopped. */
  override continue(): void {
    this.#held = false;
    this.#run();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding | 'buffer', next: (error?: Error | null) => void): void {
    this.#chunk = chunk;
    this.#at = 0;
    this.#next = next;
    this.#run();
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    let commands = 0;
    while (!this.#held && !this.isClosed && this.#at < this.#chunk.length) {
      if (this.readingMessage) {
        this.#at += this.#sink.messageData(this.#at === 0 ? this.#chunk : this.#chunk.subarray(this.#at));
      } else if (commands === COMMANDS_AT_ONCE) {
        this.#held = true;
        setImmediate(() => this.continue());
      } else {
        commands += 1;
        this.#readLine();
      }
    }
    this.#running = false;
    this.#sink.flush();
    if (this.isClosed || (!this.#held && this.#at >= this.#chunk.length)) this.#chunkDone();
  }

  #chunkDone(): void {
    const next = this.#next;
    this.#next = null;
    this.#chunk = EMPTY;
    this.#at = 0;
    if (this.isClosed) this.#partial = EMPTY;
    if (next !== null) this.#sink.whenTaken(next);
  }

  #readLine(): void {
    const chunk = this.#chunk;
    const end = chunk.indexOf(LF, this.#at);
    const piece = chunk.subarray(this.#at, end < 0 ? chunk.length : end);
    this.#at = end < 0 ? chunk.length : end + 1;
    if (this.#partial.length + piece.length > LONGEST_LINE) {
      this.#partial = EMPTY;
      this.#sink.lineTooLong();
      return;
    }
    const line = this.#partial.length === 0 ? piece : Buffer.concat([this.#partial, piece]);
    if (end < 0) {
      // Copied: the rest of a large chunk must not stay in memory for the sake of half a line.
      this.#partial = line === piece ? Buffer.from(piece) : line;
      return;
    }
    this.#partial = EMPTY;
    const ended = line.length > 0 && line[line.length - 1] === CR;
    this.#sink.commandLine(ended ? line.subarray(0, line.length - 1) : line, !ended);
  }
}
