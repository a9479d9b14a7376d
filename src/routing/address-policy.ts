/**
 * To which addresses the relay connects of its own accord. An MX record is a stranger's word: it must not lead us to ourselves, to
 * the machines behind us or to a cloud's metadata service. Pure. IANA special-purpose registries (RFC 6890); RFC 4291; RFC 6052.
 */
import { isIPv6 } from 'node:net';
import {
  type AddressWords,
  addressWords,
  type CompiledRange,
  compileRange,
  mappedIpv4,
  withinRange,
} from '../domain/ip-range.ts';

/** What an address is for. 'public' is everything that is nothing else, documentation ranges included. */
export type AddressKind =
  | 'public'
  | 'unspecified'
  | 'loopback'
  | 'metadata'
  | 'link-local'
  | 'private'
  | 'shared'
  | 'multicast'
  | 'reserved';

/** Whether the relay may connect, and if not, because of what the address is. */
export type ConnectVerdict = { readonly ok: true } | { readonly ok: false; readonly kind: Exclude<AddressKind, 'public'> };

/** First match wins: single addresses before the ranges they lie in. */
const KINDS: readonly (readonly [range: string, kind: Exclude<AddressKind, 'public'>])[] = [
  ['169.254.169.254/32', 'metadata'],
  ['169.254.170.0/24', 'metadata'],
  ['100.100.100.200/32', 'metadata'],
  ['168.63.129.16/32', 'metadata'],
  ['192.0.0.192/32', 'metadata'],
  ['fd00:ec2::/32', 'metadata'],
  ['0.0.0.0/8', 'unspecified'],
  ['::/128', 'unspecified'],
  ['127.0.0.0/8', 'loopback'],
  ['::1/128', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['fe80::/10', 'link-local'],
  ['10.0.0.0/8', 'private'],
  ['172.16.0.0/12', 'private'],
  ['192.168.0.0/16', 'private'],
  ['fc00::/7', 'private'],
  // Site-local, deprecated by RFC 3879 and still routed here and there.
  ['fec0::/10', 'private'],
  // NAT64 of local use (RFC 8215): what lies behind it only the site knows.
  ['64:ff9b:1::/48', 'private'],
  ['100.64.0.0/10', 'shared'],
  ['224.0.0.0/4', 'multicast'],
  ['ff00::/8', 'multicast'],
  ['192.0.0.0/24', 'reserved'],
  ['198.18.0.0/15', 'reserved'],
  ['240.0.0.0/4', 'reserved'],
  ['100::/64', 'reserved'],
];

/** IPv6 ranges whose addresses lead to an IPv4 address within them, and where its 32 bits are. */
const EMBEDDING: readonly (readonly [range: string, ipv4: (words: AddressWords) => number])[] = [
  // IPv4-compatible (RFC 4291, section 2.5.5.1).
  ['::/96', (words) => words[3]],
  // IPv4-translated (RFC 2765).
  ['::ffff:0:0:0/96', (words) => words[3]],
  // NAT64 (RFC 6052).
  ['64:ff9b::/96', (words) => words[3]],
  // 6to4 (RFC 3056).
  ['2002::/16', (words) => ((words[0] << 16) | (words[1] >>> 16)) >>> 0],
  // Teredo (RFC 4380): the client's address is stored inverted.
  ['2001::/32', (words) => ~words[3] >>> 0],
];

function compile(text: string): readonly CompiledRange[] {
  const [address = '', prefix = ''] = text.split('/');
  const compiled = compileRange({ family: isIPv6(address) ? 'ipv6' : 'ipv4', address, prefix: Number(prefix) });
  return compiled === null ? [] : [compiled];
}

const COMPILED_KINDS = KINDS.flatMap(([text, kind]) => compile(text).map((range) => ({ range, kind })));
const COMPILED_EMBEDDING = EMBEDDING.flatMap(([text, ipv4]) => compile(text).map((range) => ({ range, ipv4 })));

const kindOf = (words: AddressWords): AddressKind =>
  COMPILED_KINDS.find(({ range }) => withinRange(words, range))?.kind ?? 'public';

/** What the address is for, looking through IPv6 forms that embed an IPv4 address. What is no IP address is 'reserved'. */
export function classifyAddress(address: string): AddressKind {
  const words = addressWords(address);
  if (words === null) return 'reserved';
  const kind = kindOf(words);
  if (kind !== 'public' || mappedIpv4(words) !== null) return kind;
  const embedding = COMPILED_EMBEDDING.find(({ range }) => withinRange(words, range));
  return embedding === undefined ? 'public' : kindOf([0, 0, 0xffff, embedding.ipv4(words)]);
}

/**
 * Whether the relay may connect there. `exempt`: the operator named the host; `allowPrivate`: the operator said that anything goes.
 * No one can mean an unspecified or multicast address.
 */
export function mayConnect(address: string, rule: { readonly allowPrivate: boolean; readonly exempt: boolean }): ConnectVerdict {
  const kind = classifyAddress(address);
  if (kind === 'public') return { ok: true };
  if (kind === 'unspecified' || kind === 'multicast') return { ok: false, kind };
  return rule.allowPrivate || rule.exempt ? { ok: true } : { ok: false, kind };
}

/** What an address is, to follow "is". */
export const ADDRESS_KIND_TEXT: Readonly<Record<Exclude<AddressKind, 'public'>, string>> = {
  unspecified: 'no address of any host',
  loopback: 'a loopback address',
  metadata: 'the address of a cloud’s metadata service',
  'link-local': 'a link-local address',
  private: 'a private address',
  shared: 'an address of shared (CGNAT) space',
  multicast: 'a multicast address',
  reserved: 'a reserved address',
};

/** A test for the given addresses in any spelling. */
export function addressTest(addresses: ReadonlySet<string>): (address: string) => boolean {
  const keys = new Set([...addresses].map((address) => addressWords(address)?.join()));
  return (address) => keys.has(addressWords(address)?.join() ?? 'none');
}
