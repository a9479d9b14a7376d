/**
 * The name servers to ask: those of the configuration, else those of this machine's resolv.conf, read when called.
 */
import { readFileSync } from 'node:fs';
import type { Config } from '../domain/config.ts';
import { parseResolvConf, parseServerAddress, type ServerAddress } from './resolv-conf-format.ts';
import type { DnssecMode } from './trust-policy.ts';

const RESOLV_CONF = '/etc/resolv.conf';

/** What `createStubResolver` wants to know of servers. A machine without a readable resolv.conf has its name server on itself. */
export function systemServers(
  resolver: Config['resolver'],
  path = RESOLV_CONF,
): { readonly servers: readonly ServerAddress[]; readonly dnssec: DnssecMode } {
  const configured = resolver.servers.flatMap((text) => parseServerAddress(text) ?? []);
  return { servers: configured.length > 0 ? configured : parseResolvConf(read(path)), dnssec: resolver.dnssec };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
