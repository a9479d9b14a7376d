/**
 * Next hops as the configuration writes them: `smtp.partner.example:25`, `[192.0.2.7]:2525`, `[2001:db8::1]`, `mx:partner.example`.
 */
import { parseDomain } from '../domain/address.ts';
import { ok, type Result } from '../domain/basics.ts';
import type { NextHop } from '../domain/connector.ts';
import { parseIpAddress, parsePort } from './address-format.ts';
import { type Refusal, refuse } from './refusal.ts';

/** Where SMTP relays listen (RFC 5321, section 4.5.4.2). */
const SMTP_PORT = 25;

/** The next hop, names and addresses canonical; port 25 where none is given. Brackets are for addresses only. */
export function parseNextHop(text: string): Result<NextHop, Refusal> {
  const bare = parseIpAddress(text);
  if (bare?.family === 'ipv6') return refuse('is an IPv6 address without brackets', `write "[${bare.address}]:${SMTP_PORT}"`);
  const match = /^(mx:)?(?:\[([^[\]]*)\]|([^:[\]/@]+))(?::(\d+))?$/.exec(text);
  if (match === null) return refuse('is no next hop; write it like "smtp.example:25", "[192.0.2.7]:2525" or "mx:example.org"');
  const port = match[4] === undefined ? SMTP_PORT : parsePort(match[4]);
  if (port === null) return refuse('has no valid port; it goes from 1 to 65535');
  const address = parseIpAddress(match[2] ?? match[3] ?? '');
  if (match[1] !== undefined && address !== null) return refuse('asks for the MX of an address; only a domain has one');
  if (address !== null) return ok({ kind: 'address', address: address.address, port });
  const domain = match[3] === undefined ? null : parseDomain(match[3]);
  if (domain === null) {
    const inner = match[2] === undefined ? null : parseDomain(match[2]);
    const right =
      inner === null ? null : `write "${inner}:${port}"; every name is looked up by its addresses, "mx:${inner}" by its MX`;
    return refuse('names neither a host nor an address', right);
  }
  return ok(match[1] === undefined ? { kind: 'host', name: domain, port } : { kind: 'mx', domain, port });
}

/** The next hop as YAML writes it, port included. */
export function nextHopText(hop: NextHop): string {
  switch (hop.kind) {
    case 'host':
      return `${hop.name}:${hop.port}`;
    case 'address':
      return `[${hop.address}]:${hop.port}`;
    case 'mx':
      return `mx:${hop.domain}:${hop.port}`;
  }
}
