/**
 * Reads SMTP replies out of a stream of bytes (RFC 5321, section 4.2.1), bounded in line length, lines and total size.
 * A state machine without I/O: bytes in, replies out.
 */
import type { EnhancedStatusCode, SmtpReply } from '../domain/outcome.ts';

const MAX_LINE = 8192;
const MAX_LINES = 128;
const MAX_TEXT = 512;
const CONTROLS = /[\x00-\x1f\x7f-\x9f\u2028\u2029]+/g;
const ENHANCED = /^([245])\.(\d{1,3})\.(\d{1,3})(?: +|$)/;

/** The text of a foreign reply as we keep it: no controls, no doubled blanks at the ends, at most 512 characters. */
export const cleanReplyText = (text: string): string => text.replace(CONTROLS, ' ').slice(0, MAX_TEXT).trim();

/** A complete reply from its code and its lines without code and separator. */
export function readReply(code: number, lines: readonly string[]): SmtpReply {
  const first = lines[0] ?? '';
  const match = ENHANCED.exec(first);
  // RFC 2034, section 4: the class must be that of the code, else it is just text.
  const enhanced =
    match !== null && first.charCodeAt(0) - 48 === Math.floor(code / 100)
      ? (`${match[1]}.${match[2]}.${match[3]}` as EnhancedStatusCode)
      : null;
  const text =
    enhanced === null
      ? lines.join(' ')
      : lines.map((line) => (line.startsWith(`${enhanced} `) ? line.slice(enhanced.length + 1) : line)).join(' ');
  return { code, enhanced, text: cleanReplyText(enhanced !== null && text === enhanced ? '' : text) };
}

/** What the bytes were not. */
export type ReplyProblem = 'not-a-reply' | 'too-long';

/** Feed it what arrives; take the replies from `onReply`, in order. After a problem it must not be fed again. */
export class ReplyParser {
  #rest = '';
  #code = 0;
  #lines: string[] = [];

  /** True between replies: nothing half-read lies here. */
  get empty(): boolean {
    return this.#rest.length === 0 && this.#lines.length === 0;
  }

  /** Calls `onReply` for every reply completed by these bytes; returns what is wrong with them, or null. */
  feed(chunk: Buffer, onReply: (reply: SmtpReply) => void): ReplyProblem | null {
    const text = this.#rest.length === 0 ? chunk.toString('latin1') : this.#rest + chunk.toString('latin1');
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      const stop = end > start && text.charCodeAt(end - 1) === 13 ? end - 1 : end;
      if (stop - start > MAX_LINE) return 'too-long';
      const problem = this.#line(text.slice(start, stop), onReply);
      if (problem !== null) return problem;
      start = end + 1;
    }
    this.#rest = start === text.length ? '' : text.slice(start);
    return this.#rest.length > MAX_LINE ? 'too-long' : null;
  }

  #line(line: string, onReply: (reply: SmtpReply) => void): ReplyProblem | null {
    const code = (line.charCodeAt(0) - 48) * 100 + (line.charCodeAt(1) - 48) * 10 + (line.charCodeAt(2) - 48);
    const separator = line.length === 3 ? ' ' : line[3];
    if (!/^[2-5]\d\d/.test(line) || (separator !== ' ' && separator !== '-')) return 'not-a-reply';
    // RFC 5321, section 4.2.1: every line of a reply carries the same code.
    if (this.#lines.length > 0 && code !== this.#code) return 'not-a-reply';
    this.#code = code;
    this.#lines.push(fromLatin1(line.slice(4)));
    if (separator === '-') return this.#lines.length >= MAX_LINES ? 'too-long' : null;
    const reply = readReply(code, this.#lines);
    this.#lines = [];
    onReply(reply);
    return null;
  }
}

/** Replies are ASCII or UTF-8; they were split as latin1 because that never breaks. */
const fromLatin1 = (text: string): string => (/[\x80-\xff]/.test(text) ? Buffer.from(text, 'latin1').toString('utf8') : text);
