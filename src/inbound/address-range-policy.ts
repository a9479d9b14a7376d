/**
 * Which range of addresses a peer is in. IPv4-mapped IPv6 addresses must have been reduced to IPv4 before.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { AddressRange } from '../domain/connector.ts';

/** True where the address lies in any of the ranges. False for what is no address. */
export function inRanges(address: string, ranges: readonly AddressRange[]): boolean {
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : null;
  if (family === null || !ranges.some((range) => range.family === family)) return false;
  const list = new BlockList();
  for (const range of ranges) {
    if (range.family === family) list.addSubnet(range.address, range.prefix, range.family);
  }
  return list.check(address, family);
}
