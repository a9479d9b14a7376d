/**
 * IP addresses, networks and endpoints as the configuration writes them, made canonical (RFC 5952 as node:net prints it).
 */
import { isIP, SocketAddress } from 'node:net';
import { ok, type Result } from '../domain/basics.ts';
import type { AddressRange } from '../domain/connector.ts';
import { type Refusal, refuse } from './refusal.ts';

/** An address proven to be one, canonical. */
export type IpAddress = { readonly family: 'ipv4' | 'ipv6'; readonly address: string };
/** Where to listen or ask. */
export type Endpoint = { readonly host: string; readonly port: number };

/** The canonical address, or null. Zone identifiers (`fe80::1%eth0`) are refused: they mean nothing on another machine. */
export function parseIpAddress(text: string): IpAddress | null {
  const version = text.includes('%') ? 0 : isIP(text);
  if (version === 4) return { family: 'ipv4', address: text };
  return version === 6 ? { family: 'ipv6', address: new SocketAddress({ address: text, family: 'ipv6' }).address } : null;
}

/** The address as one number of 32 or 128 bits. */
function bitsOf({ family, address }: IpAddress): bigint {
  if (family === 'ipv4') return address.split('.').reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const pair = (high: string | undefined, low: string | undefined) => (Number(high) * 256 + Number(low)).toString(16);
  const plain = dotted === null ? address : `${dotted[1]}${pair(dotted[2], dotted[3])}:${pair(dotted[4], dotted[5])}`;
  const [head = '', tail] = plain.split('::');
  const groups = (part: string | undefined): string[] => (part === undefined || part === '' ? [] : part.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: tail === undefined ? 0 : missing }, () => '0'), ...groups(tail)];
  return all.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

function addressOf(bits: bigint, family: IpAddress['family']): string {
  const [count, width, radix] = family === 'ipv4' ? [4, 8n, 10] : [8, 16n, 16];
  const parts = Array.from({ length: count }, (_, index) => {
    const shift = BigInt(count - 1 - index) * width;
    return ((bits >> shift) & ((1n << width) - 1n)).toString(radix);
  });
  return family === 'ipv4' ? parts.join('.') : new SocketAddress({ address: parts.join(':'), family }).address;
}

/** The network the range lies in: the address with the bits after the prefix cleared. */
function networkOf({ family, address, prefix }: AddressRange): AddressRange {
  const host = BigInt((family === 'ipv4' ? 32 : 128) - prefix);
  return { family, prefix, address: addressOf((bitsOf({ family, address }) >> host) << host, family) };
}

/** The range as YAML writes it; a single address without its prefix. */
export function rangeText({ family, address, prefix }: AddressRange): string {
  return prefix === (family === 'ipv4' ? 32 : 128) ? address : `${address}/${prefix}`;
}

function refuseMapped(address: string, prefix: string | undefined): { readonly ok: false; readonly error: Refusal } {
  const length = prefix === undefined ? 32 : Number(prefix) - 96;
  const right = length >= 0 && length <= 32 ? `write ${rangeText({ family: 'ipv4', address, prefix: length })}` : null;
  return refuse('is an IPv4 address in IPv6 form; peers are matched by their IPv4 address', right);
}

/** A network `10.0.0.0/8`, `2001:db8::/32`, or a single address. Bits set after the prefix are refused: it is unclear what was meant. */
export function parseRange(text: string): Result<AddressRange, Refusal> {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  const address = parseIpAddress(addressText);
  if (address === null || rest.length > 0) {
    return refuse('is no address or network; write it like 192.0.2.7, 203.0.113.0/24 or "2001:db8::/32"');
  }
  if (/^::ffff:\d+\./.test(address.address)) return refuseMapped(address.address.slice('::ffff:'.length), prefixText);
  const longest = address.family === 'ipv4' ? 32 : 128;
  if (prefixText !== undefined && (!/^(0|[1-9]\d{0,2})$/.test(prefixText) || Number(prefixText) > longest)) {
    return refuse(`has no valid prefix length; it goes from 0 to ${longest}`);
  }
  const range = { ...address, prefix: prefixText === undefined ? longest : Number(prefixText) };
  const network = networkOf(range);
  if (network.address === range.address) return ok(range);
  return refuse('has bits set after its prefix', `the network is ${rangeText(network)}, the single address ${address.address}`);
}

/** The first and the last address of a range as numbers, so that many can be compared. */
export type Span = { readonly family: 'ipv4' | 'ipv6'; readonly first: bigint; readonly last: bigint };

/** The span of the range. */
export function spanOf({ family, address, prefix }: AddressRange): Span {
  const first = bitsOf({ family, address });
  return { family, first, last: first + (1n << BigInt((family === 'ipv4' ? 32 : 128) - prefix)) - 1n };
}

/** True where some address lies in both. */
export const spansMeet = (left: Span, right: Span): boolean =>
  left.family === right.family && left.first <= right.last && right.first <= left.last;

/** True for 127.0.0.0/8 and ::1. */
export const isLoopback = (host: string): boolean => host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/** The endpoint as YAML writes it. */
export const endpointText = ({ host, port }: Endpoint): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** A port from 1 to 65535, or null. */
export function parsePort(text: string): number | null {
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : null;
}

/** An address and a port, `0.0.0.0:25` or `[::]:25`; the address is canonical. Host names are refused: what they mean may change. */
export function parseEndpoint(text: string): Result<Endpoint, Refusal> {
  const expected = 'is no address with a port; write it like "0.0.0.0:25" or "[::]:25"';
  const bare = parseIpAddress(text);
  if (bare !== null) return refuse('has no port', `write "${endpointText({ host: text, port: 25 })}"`);
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\d*)$/.exec(text);
  if (match === null) return refuse(expected);
  const address = parseIpAddress(match[1] ?? match[2] ?? '');
  if (address === null) return refuse(expected, match[2] === '' && match[3] !== '' ? `write "0.0.0.0:${match[3]}"` : null);
  if ((address.family === 'ipv6') !== (match[1] !== undefined))
    return refuse('must have brackets around an IPv6 address, and only there');
  const port = parsePort(match[3] ?? '');
  return port === null ? refuse('has no valid port; it goes from 1 to 65535') : ok({ host: address.address, port });
}

/** A name server, `127.0.0.1`, `::1`, `127.0.0.1:5353` or `[::1]:5353`, canonical. */
export function parseServer(text: string): Result<string, Refusal> {
  const bare = parseIpAddress(text);
  if (bare !== null) return ok(bare.address);
  const endpoint = parseEndpoint(text);
  if (endpoint.ok) return ok(endpointText(endpoint.value));
  return refuse('is no address of a name server; write it like "127.0.0.1" or "[::1]:5353"');
}
