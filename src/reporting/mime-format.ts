/**
 * The little MIME a notice needs: quoted-printable, folding, boundaries, the wire form. Bytes of foreign mail are passed on
 * as bytes, never read. RFC 2045, RFC 2046, RFC 5322.
 */
import type { Instant } from '../domain/basics.ts';

const CR = 13;
const LF = 10;
const DOT = 46;
/** RFC 5322, section 2.1.1 allows 998 octets; a break costs nothing. */
const LONGEST_TOKEN = 900;
const LONGEST_LINE = 998;
const HEX = '0123456789ABCDEF';

/** `Thu, 01 Jan 2026 00:00:00 +0000` (RFC 5322, section 3.3), in UTC. */
export const mailDate = (instant: Instant): string => new Date(instant).toUTCString().replace('GMT', '+0000');

/**
 * True where the octets are text in lines of at most 998: printable ASCII, tabs and line ends (fit for 7bit), or with `eightBit`
 * octets above 127, too (fit for 8bit).
 */
export function isPlain(bytes: Uint8Array, eightBit = false): boolean {
  let length = 0;
  for (const byte of bytes) {
    if (byte === LF) length = 0;
    else if (byte !== CR && ++length > LONGEST_LINE) return false;
    if (byte > 126 && !(eightBit && byte > 127)) return false;
    if (byte < 32 && byte !== 9 && byte !== CR && byte !== LF) return false;
  }
  return true;
}

/** True where an octet is above 127. */
export const isEightBit = (bytes: Uint8Array): boolean => bytes.some((byte) => byte > 127);

/** Text whose lines end in CRLF as quoted-printable (RFC 2045, section 6.7); every other octet survives exactly. */
export function quotedPrintable(bytes: Uint8Array): string {
  const lines: string[] = [];
  let line = '';
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] ?? 0;
    if (byte === CR && bytes[i + 1] === LF) {
      lines.push(line);
      line = '';
      i += 1;
      continue;
    }
    const atEnd = i + 1 === bytes.length || (bytes[i + 1] === CR && bytes[i + 2] === LF);
    const literal = (byte > 32 && byte < 127 && byte !== 61) || ((byte === 32 || byte === 9) && !atEnd);
    const token = literal ? String.fromCharCode(byte) : `=${HEX.charAt(byte >> 4)}${HEX.charAt(byte & 15)}`;
    if (line.length + token.length > 75) {
      lines.push(`${line}=`);
      line = '';
    }
    line += token;
  }
  return [...lines, line].join('\r\n');
}

/** The words of `text`; one that is longer than a line may be is cut. Addresses are shorter. */
const words = (text: string): readonly string[] =>
  text.split(' ').flatMap((word) => (Buffer.byteLength(word) > LONGEST_TOKEN ? (word.match(/.{1,200}/gsu) ?? []) : [word]));

/** `text` broken at blanks into lines of about `width` characters, each after the first beginning with `indent`. */
export function wrap(text: string, width: number, indent: string): string {
  const [first = '', ...rest] = words(text);
  let out = first;
  let column = first.length;
  for (const word of rest) {
    const breaks = word !== '' && column + 1 + word.length > width;
    out += breaks ? `\r\n${indent}${word}` : ` ${word}`;
    column = word.length + (breaks ? indent.length : column + 1);
  }
  return out;
}

/** `Name: value`, folded (RFC 5322, section 2.2.3). The value must be free of controls and is cleansed of them again here. */
export function headerField(name: string, value: string): string {
  const clean = value.replace(/[\x00-\x1f\x7f]/g, '?').trim();
  return `${wrap(`${name}: ${clean}`, 76, ' ')}\r\n`;
}

/** Non-ASCII characters as `\x{E9}` (RFC 6533, section 3), which message/delivery-status can carry. */
const asciiOnly = (text: string): string =>
  text.replace(/[^\x00-\x7f]/gu, (character) => `\\x{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`);

/** `headerField` for a block that may hold ASCII only. */
export const asciiField = (name: string, value: string): string => headerField(name, asciiOnly(value));

/** A boundary made from `seed` that occurs in none of the parts (RFC 2046, section 5.1.1). */
export function chooseBoundary(seed: string, parts: readonly Uint8Array[]): string {
  const base = `=_${seed.replace(/[^0-9A-Za-z]/g, '').slice(0, 40)}`;
  for (let n = 0; ; n += 1) {
    const boundary = n === 0 ? base : `${base}.${n}`;
    if (!parts.some((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength).includes(`--${boundary}`)))
      return boundary;
  }
}

/** Text with a dot added to every line that begins with one (RFC 5321, section 4.5.2). */
export const dotStuff = (text: string): string => text.replace(/(^|\n)\./g, '$1..');

/** How many dots stuffing added: lines of the wire form that begin with a dot. `atLineStart`: the first octet begins a line. */
export function countStuffing(wire: Uint8Array, atLineStart = true): number {
  let count = atLineStart && wire[0] === DOT ? 1 : 0;
  for (let i = wire.indexOf(LF); i >= 0; i = wire.indexOf(LF, i + 1)) if (wire[i + 1] === DOT) count += 1;
  return count;
}

/** A piece of the wire form without its stuffing. */
export function dotUnstuff(wire: Uint8Array, atLineStart = true): Uint8Array {
  const stuffing = countStuffing(wire, atLineStart);
  if (stuffing === 0) return wire;
  const out = new Uint8Array(wire.length - stuffing);
  let length = 0;
  for (let i = 0; i < wire.length; i += 1) {
    if (wire[i] === DOT && (i === 0 ? atLineStart : wire[i - 1] === LF)) continue;
    out[length] = wire[i] ?? 0;
    length += 1;
  }
  return out;
}

/**
 * The header block at the beginning of a message, each line with its CRLF, without the empty line; at most `limit` octets,
 * cut after a whole line.
 */
export function headerBlock(message: Uint8Array, limit: number): Uint8Array {
  const head = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (head[0] === CR && head[1] === LF) return new Uint8Array(0);
  const end = head.indexOf('\r\n\r\n');
  const length = end < 0 ? head.length : end + 2;
  const whole = head.subarray(0, Math.min(length, limit)).lastIndexOf('\r\n');
  return head.subarray(0, whole < 0 ? 0 : whole + 2);
}
