/**
 * Finds the true end of a message in the bytes after DATA and says what is in it. Bytes are looked at, never changed or kept.
 * Only CRLF.CRLF ends a message (RFC 5321, section 4.1.1.4), or `.CRLF` as its first line; nothing else does, whatever else is wrong.
 */
import { isAscii } from 'node:buffer';

/** What makes a message refusable, found by looking. */
export type MessageDefects = {
  readonly bareLineBreak: boolean;
  readonly nulInHeader: boolean;
  readonly headerTooLarge: boolean;
  /** The first line is a folded continuation: behind our trace field it would become part of it. */
  readonly leadingFold: boolean;
};

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;
const DOT = 46;
const COLON = 58;
const lettersOf = (text: string): readonly number[] => [...text].map((letter) => letter.charCodeAt(0));
const RECEIVED = lettersOf('received');
const TLS_REQUIRED = lettersOf('tls-required');
const NO = lettersOf('no');

// Where the next byte stands: first of a line, behind a line's first dot, behind that dot's CR, within a line, behind a CR.
const LINE_START = 0;
const AFTER_DOT = 1;
const AFTER_DOT_CR = 2;
const IN_LINE = 3;
const AFTER_CR = 4;

// Within the header: in a field's name, in blanks behind it, in its value; or past the header.
const NAME = 0;
const BLANKS = 1;
const VALUE = 2;
const BODY = 3;
// In the value of a TLS-Required field (RFC 8689, section 5).
const DEMAND = 4;

/** Reads one message, chunk by chunk. Any way of cutting the same bytes gives the same verdict and the same content. */
export class MessageScanner {
  /** The end was seen: the last `scan` stopped behind it. */
  ended = false;
  /** After `scan`: octets (0–2) held back from earlier chunks, `.` or `.CR`, that have turned out to be content before this chunk's. */
  released = 0;
  /** After `scan`: the chunk's octets before this place are content. */
  contentEnd = 0;
  /** After `scan`: the chunk's octets before this place belong to the message, its end included. */
  consumed = 0;
  /** Content octets so far, still dot-stuffed. */
  wireBytes = 0;
  /** An octet above 127 was seen. */
  eightBit = false;
  /** `Received` fields seen in the header. */
  receivedFields = 0;

  #tlsRequiredNo = false;

  readonly #headerLimit: number;
  #state = LINE_START;
  #header = NAME;
  /** Letters of `received` matched so far, -1 where the name is another. */
  #matched = 0;
  /** The same for `tls-required`, and then for `no` as its value. */
  #matchedTls = 0;
  #matchedNo = 0;
  #inTlsRequired = false;
  #headerBytes = 0;
  #firstLine = true;
  #stuffed = 0;
  /** Place in the current chunk of the dot that may begin the end; negative: it came in an earlier chunk. */
  #dotAt = 0;
  #bareLineBreak = false;
  #nulInHeader = false;
  #headerTooLarge = false;
  #leadingFold = false;

  constructor(headerLimit: number) {
    this.#headerLimit = headerLimit;
  }

  /** Octets as recipients count them: without the stuffed dots (RFC 1870, section 5). */
  get sizeBytes(): number {
    return this.wireBytes - this.#stuffed;
  }

  /** The header says `TLS-Required: No`, as far as it was read. */
  get tlsRequiredNo(): boolean {
    return this.#tlsRequiredNo || (this.#inTlsRequired && this.#matchedNo === NO.length);
  }

  /** What is wrong with the message as read so far. */
  get defects(): MessageDefects {
    return {
      bareLineBreak: this.#bareLineBreak,
      nulInHeader: this.#nulInHeader,
      headerTooLarge: this.#headerTooLarge,
      leadingFold: this.#leadingFold,
    };
  }

  /** True where any defect was found: the content need not be kept. */
  get defective(): boolean {
    return this.#bareLineBreak || this.#nulInHeader || this.#headerTooLarge || this.#leadingFold;
  }

  /** Reads the next bytes up to the end of the message; the public fields tell what of them is content. */
  scan(chunk: Buffer): void {
    const held = this.#state === AFTER_DOT ? 1 : this.#state === AFTER_DOT_CR ? 2 : 0;
    this.#dotAt = -held;
    const headerEnd = this.#header === BODY ? 0 : this.#scanHeader(chunk);
    this.consumed = this.ended ? headerEnd : this.#scanBody(chunk, headerEnd);
    const pending = this.ended || this.#state === AFTER_DOT || this.#state === AFTER_DOT_CR;
    this.contentEnd = pending ? Math.max(0, this.#dotAt) : chunk.length;
    this.released = pending && this.#dotAt < 0 ? 0 : held;
    this.wireBytes += this.released + this.contentEnd;
    if (!this.eightBit && this.contentEnd > 0) {
      this.eightBit = !isAscii(this.contentEnd === chunk.length ? chunk : chunk.subarray(0, this.contentEnd));
    }
  }

  /** The common part of both loops: every place but the inside of a line. Returns the state behind the byte. */
  #lineBoundary(byte: number, at: number): boolean {
    switch (this.#state) {
      case AFTER_CR:
        if (byte === LF) {
          this.#state = LINE_START;
          return true;
        }
        this.#bareLineBreak = true;
        this.#state = IN_LINE;
        return false;
      case LINE_START:
        this.#state = byte === DOT ? AFTER_DOT : IN_LINE;
        this.#dotAt = at;
        return byte === DOT;
      case AFTER_DOT:
        if (byte === CR) {
          this.#state = AFTER_DOT_CR;
          return true;
        }
        this.#stuffed += 1;
        this.#state = IN_LINE;
        return false;
      default: // AFTER_DOT_CR
        if (byte === LF) {
          this.ended = true;
          return true;
        }
        this.#bareLineBreak = true;
        this.#stuffed += 1;
        this.#state = IN_LINE;
        return false;
    }
  }

  /** Reads content where only line ends matter. Returns the place behind the last byte read. */
  #scanBody(chunk: Buffer, from: number): number {
    const length = chunk.length;
    let at = from;
    let byte = 0;
    while (at < length) {
      if (this.#state !== IN_LINE) {
        if (this.#lineBoundary(chunk[at] as number, at)) at += 1;
        if (this.ended) return at;
        continue;
      }
      // The inner loop is where the time goes: most lines end in CRLF and the next one begins with something else than a dot.
      for (;;) {
        while (at < length) {
          byte = chunk[at] as number;
          if (byte <= CR && (byte === CR || byte === LF)) break;
          at += 1;
        }
        if (at + 2 < length && byte === CR && chunk[at + 1] === LF) {
          const first = chunk[at + 2] as number;
          if (first !== DOT) {
            at += 2;
            continue;
          }
          if (chunk[at + 3] === DOT) {
            this.#stuffed += 1;
            at += 4;
            continue;
          }
        }
        break;
      }
      if (at === length) break;
      if (byte === CR) this.#state = AFTER_CR;
      else this.#bareLineBreak = true;
      at += 1;
    }
    return at;
  }

  /** Reads the header, or as much of it as the chunk has. Returns the place behind the last byte read. */
  #scanHeader(chunk: Buffer): number {
    const stop = Math.min(chunk.length, this.#headerLimit + 1 - this.#headerBytes);
    let at = 0;
    while (at < stop && this.#header !== BODY) {
      const byte = chunk[at] as number;
      if (this.#state === IN_LINE) {
        this.#headerByte(byte);
        at += 1;
        continue;
      }
      if ((this.#state === LINE_START && byte !== DOT) || (this.#state === AFTER_DOT && byte !== CR)) this.#headerLine(byte);
      if (this.#lineBoundary(byte, at)) at += 1;
      if (this.ended) return at;
    }
    this.#headerBytes += at;
    if (this.#header !== BODY && this.#headerBytes > this.#headerLimit) {
      this.#headerTooLarge = true;
      this.#header = BODY;
    }
    return at;
  }

  /** The first byte of a header line, behind its stuffed dot if it has one. An empty line ends the header. */
  #headerLine(byte: number): void {
    const fold = byte === SPACE || byte === TAB;
    if (fold && this.#firstLine) this.#leadingFold = true;
    this.#firstLine = false;
    if (fold) {
      this.#header = this.#inTlsRequired ? DEMAND : VALUE;
      return;
    }
    this.#tlsRequiredNo = this.tlsRequiredNo;
    this.#inTlsRequired = false;
    this.#matched = 0;
    this.#matchedTls = 0;
    this.#header = byte === CR ? BODY : NAME;
  }

  /** A byte within a header line. A line that is no field ends the header, as an empty one does. */
  #headerByte(byte: number): void {
    if (byte === CR) {
      this.#state = AFTER_CR;
      if (this.#header !== VALUE && this.#header !== DEMAND) this.#header = BODY;
    } else if (byte === LF) {
      this.#bareLineBreak = true;
    } else if (byte === 0) {
      this.#nulInHeader = true;
    } else if (this.#header === DEMAND) {
      this.#demandByte(byte);
    } else if (this.#header !== VALUE) {
      this.#nameByte(byte);
    }
  }

  /** `no` in any case, white space around it. */
  #demandByte(byte: number): void {
    if (byte === SPACE || byte === TAB) {
      if (this.#matchedNo > 0 && this.#matchedNo < NO.length) this.#matchedNo = -1;
      return;
    }
    this.#matchedNo = this.#matchedNo >= 0 && NO[this.#matchedNo] === (byte | 0x20) ? this.#matchedNo + 1 : -1;
  }

  #nameByte(byte: number): void {
    if (byte === COLON) {
      if (this.#matched === RECEIVED.length) this.receivedFields += 1;
      this.#inTlsRequired = this.#matchedTls === TLS_REQUIRED.length;
      this.#matchedNo = 0;
      this.#header = this.#inTlsRequired ? DEMAND : VALUE;
    } else if (byte === SPACE || byte === TAB) {
      this.#header = BLANKS;
    } else if (this.#header === BLANKS || byte < SPACE || byte > 126) {
      this.#header = BODY;
    } else {
      const letter = byte | 0x20;
      this.#matched = this.#matched >= 0 && RECEIVED[this.#matched] === letter ? this.#matched + 1 : -1;
      this.#matchedTls = this.#matchedTls >= 0 && TLS_REQUIRED[this.#matchedTls] === letter ? this.#matchedTls + 1 : -1;
    }
  }
}
