/**
 * Reads the `nameserver` lines of a resolv.conf, and server addresses as the configuration writes them. Pure; whoever calls reads
 * the file. `search`, `domain` and `options` mean nothing to a mail relay: names it looks up are complete.
 */
import { isIP } from 'node:net';
import { isNonEmpty, type NonEmpty } from '../domain/basics.ts';

/** A name server: an IP address (a zone such as `%eth0` allowed) and a port. */
export type ServerAddress = { readonly address: string; readonly port: number };

/** As in resolv.conf(5), MAXNS. */
const MAX_SERVERS = 3;
const MAX_TEXT = 64 * 1024;
const DNS_PORT = 53;

/**
 * The name servers of a resolv.conf in the order written, at most three; lines that make no sense are passed over. Where there is
 * none, the server on this machine (resolv.conf(5)).
 */
export function parseResolvConf(text: string): NonEmpty<ServerAddress> {
  const servers: ServerAddress[] = [];
  for (const line of text.slice(0, MAX_TEXT).split('\n')) {
    const address = /^nameserver[ \t]+([^ \t\r;#]+)/.exec(line)?.[1];
    if (address !== undefined && isIP(address) !== 0) servers.push({ address, port: DNS_PORT });
    if (servers.length === MAX_SERVERS) break;
  }
  return isNonEmpty(servers) ? servers : [{ address: '127.0.0.1', port: DNS_PORT }];
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353` as a server; null where it is none of these. */
export function parseServerAddress(text: string): ServerAddress | null {
  if (isIP(text) !== 0) return { address: text, port: DNS_PORT };
  const match = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text);
  const address = match?.[1] ?? match?.[2];
  if (address === undefined || isIP(address) !== (match?.[1] === undefined ? 4 : 6)) return null;
  const port = match?.[3] === undefined ? DNS_PORT : Number(match[3]);
  return port >= 1 && port <= 65535 ? { address, port } : null;
}
