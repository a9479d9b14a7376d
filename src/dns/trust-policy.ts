/**
 * Whose AD bit counts. The bit says "I validated this" and is worth what the server and the way to it are worth (RFC 6840,
 * section 5.8; RFC 7672, section 2.2.1). Pure.
 */
import { inRanges } from '../domain/ip-range.ts';

/** `resolver.dnssec` of the configuration. */
export type DnssecMode = 'auto' | 'trust' | 'off';

const LOOPBACK = [
  { family: 'ipv4', address: '127.0.0.0', prefix: 8 },
  { family: 'ipv6', address: '::1', prefix: 128 },
] as const;

/** Loopback addresses at which no validator listens: they hand on another server's bit that came over a network. */
const FORWARDERS = [
  // Docker's embedded name server.
  { family: 'ipv4', address: '127.0.0.11', prefix: 32 },
  // systemd-resolved in proxy mode.
  { family: 'ipv4', address: '127.0.0.54', prefix: 32 },
] as const;

/** True where a set AD bit of the server at this address means that the data were validated. */
export function trustsAuthenticData(address: string, mode: DnssecMode): boolean {
  switch (mode) {
    case 'off':
      return false;
    case 'trust':
      return true;
    case 'auto':
      return inRanges(address, LOOPBACK) && !inRanges(address, FORWARDERS);
  }
}

/**
 * The servers to ask: where some are trusted, only those. A server beside them that is not would turn "could not be looked up" into
 * "insecure", and whoever can make a validating server fail could switch DANE off with it.
 */
export function believed<S extends { readonly address: string }>(servers: readonly S[], mode: DnssecMode): readonly S[] {
  const trusted = servers.filter(({ address }) => trustsAuthenticData(address, mode));
  return trusted.length > 0 ? trusted : servers;
}
