/**
 * IP addresses as numbers, and whether one lies in a list of ranges. IPv4 and its IPv4-mapped IPv6 form (`::ffff:192.0.2.1`) are
 * the same address here, so that no spelling of a peer's address escapes a rule (RFC 4291, section 2.5.5.2).
 */
import { isIP } from 'node:net';
import type { AddressRange } from './connector.ts';

/** The 128 bits of an address, most significant word first; an IPv4 address in its IPv4-mapped form. */
export type AddressWords = readonly [number, number, number, number];

/** A range made ready for many comparisons: the bits that count, and which these are. */
export type CompiledRange = { readonly words: AddressWords; readonly mask: AddressWords };

const MAPPED = 0xffff;

/** The 32 bits of a dotted quad that was checked before. */
function ipv4Word(text: string): number {
  let word = 0;
  let octet = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 46) {
      word = word * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 48;
  }
  return word * 256 + octet;
}

/** The eight groups of a part of an IPv6 address (no `::` inside), a dotted quad at its end taken as two. */
function ipv6Groups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const word = ipv4Word(group);
    return [word >>> 16, word & 0xffff];
  });
}

/** The bits of an address in text form, a zone (`%eth0`) left aside; null where the text is no IP address. */
export function addressWords(address: string): AddressWords | null {
  const family = isIP(address);
  if (family === 0) return null;
  if (family === 4) return [0, 0, MAPPED, ipv4Word(address)];
  const zone = address.indexOf('%');
  const text = zone === -1 ? address : address.slice(0, zone);
  const gap = text.indexOf('::');
  const head = ipv6Groups(gap === -1 ? text : text.slice(0, gap));
  const tail = gap === -1 ? [] : ipv6Groups(text.slice(gap + 2));
  const groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  const word = (index: number): number => (groups[index * 2] ?? 0) * 0x10000 + (groups[index * 2 + 1] ?? 0);
  return [word(0), word(1), word(2), word(3)];
}

/** The 32 bits of the IPv4 address that these words are (in IPv4-mapped form), or null for a true IPv6 address. */
export const mappedIpv4 = (words: AddressWords): number | null =>
  words[0] === 0 && words[1] === 0 && words[2] === MAPPED ? words[3] : null;

/** The leading `bits` (0 to 32) of a word set. */
const wordMask = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? 0xffffffff : (0xffffffff << (32 - bits)) >>> 0);

/** The range ready to compare; null where its address is no IP address. Bits beyond the prefix are ignored. */
export function compileRange(range: AddressRange): CompiledRange | null {
  const words = addressWords(range.address);
  if (words === null) return null;
  const prefix = range.family === 'ipv4' ? range.prefix + 96 : range.prefix;
  const mask: AddressWords = [wordMask(prefix), wordMask(prefix - 32), wordMask(prefix - 64), wordMask(prefix - 96)];
  return { words, mask };
}

/** True where the address lies in the range. */
export function withinRange(words: AddressWords, range: CompiledRange): boolean {
  for (let index = 0; index < 4; index++) {
    const difference = (words[index] ?? 0) ^ (range.words[index] ?? 0);
    if ((difference & (range.mask[index] ?? 0)) !== 0) return false;
  }
  return true;
}

/** True where the address lies in one of the ranges. False for what is no IP address, and for an empty list. */
export function inRanges(address: string, ranges: readonly AddressRange[]): boolean {
  if (ranges.length === 0) return false;
  const words = addressWords(address);
  if (words === null) return false;
  return ranges.some((range) => {
    const compiled = compileRange(range);
    return compiled !== null && withinRange(words, compiled);
  });
}
