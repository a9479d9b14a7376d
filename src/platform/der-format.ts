/**
 * Writes DER (ITU-T X.690, section 10), as much of it as a certificate needs. Writes only; reading is node:crypto's business.
 */

/** A tag with its content, length in front. */
function tagged(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.from(head), content]);
}

/** SEQUENCE of what is given. */
export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => tagged(0x30, Buffer.concat(parts));
/** SET with one member (several would have to be sorted). */
export const setOf = (member: Uint8Array): Uint8Array => tagged(0x31, member);
/** A positive INTEGER from its bytes, most significant first; leading zeros are dropped, a sign octet is added where needed. */
export function integer(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  return tagged(0x02, (digits[0] ?? 0) < 0x80 ? digits : Buffer.concat([Uint8Array.of(0), digits]));
}
/** BIT STRING whose last `unused` bits do not count. */
export const bitString = (bytes: Uint8Array, unused = 0): Uint8Array =>
  tagged(0x03, Buffer.concat([Uint8Array.of(unused), bytes]));
/** OCTET STRING. */
export const octetString = (bytes: Uint8Array): Uint8Array => tagged(0x04, bytes);
/** BOOLEAN TRUE; a FALSE default is left out in DER. */
export const TRUE: Uint8Array = Uint8Array.of(0x01, 0x01, 0xff);
/** UTF8String. */
export const utf8String = (text: string): Uint8Array => tagged(0x0c, Buffer.from(text));
/** `[n] EXPLICIT` around a value. */
export const explicit = (n: number, value: Uint8Array): Uint8Array => tagged(0xa0 | n, value);
/** `[n] IMPLICIT` in place of a primitive value's own tag. */
export const implicit = (n: number, content: Uint8Array): Uint8Array => tagged(0x80 | n, content);

/** OBJECT IDENTIFIER from its dotted form, such as `2.5.29.17`. */
export function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return tagged(0x06, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(arc: number): number[] {
  const digits = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) | 0x80);
  return digits;
}

/** Time as RFC 5280, section 4.1.2.5 wants it: UTCTime through 2049, GeneralizedTime from 2050; whole seconds. */
export function time(milliseconds: number): Uint8Array {
  const text = new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+/g, '');
  return text < '2050' ? tagged(0x17, Buffer.from(text.slice(2))) : tagged(0x18, Buffer.from(text));
}
