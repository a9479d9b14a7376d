/**
 * Who may speak to the admin API (interface.md, section 5): the bearer of the token; without a token only this machine, and no
 * page of another site through its browser (DNS rebinding, cross-site requests).
 */
import { createHash, timingSafeEqual } from 'node:crypto';

/** What a request says of itself. Header values as they came, undefined where absent. */
export type Credentials = {
  readonly remoteAddress: string;
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  readonly authorization: string | undefined;
};

/** `full`: everything. `probe`: only whether the relay is alive and ready. */
export type Admission =
  | { readonly kind: 'full' | 'probe' }
  | { readonly kind: 'refused'; readonly status: 401 | 403; readonly detail: string };

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares in a time that tells nothing of the content. */
const sameSecret = (given: string, expected: string): boolean => timingSafeEqual(digest(given), digest(expected));

/** True for 127.0.0.0/8 and ::1, in IPv4-mapped form, too. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  return plain === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/** True where the Host header names this machine by a loopback name or address, with any port. */
export function isLoopbackHost(host: string | undefined): boolean {
  const match = /^(?:\[([0-9a-f:]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(host ?? '');
  const name = (match?.[1] ?? match?.[2] ?? '').toLowerCase();
  return name === 'localhost' || isLoopbackAddress(name);
}

const FOREIGN_SITES = new Set(['cross-site', 'same-site']);

function judgeLocal({ remoteAddress, host, origin, fetchSite }: Credentials): Admission {
  const refused = (detail: string): Admission => ({ kind: 'refused', status: 403, detail });
  if (!isLoopbackAddress(remoteAddress))
    return refused('Without a token the admin API answers this machine only: set admin.token.');
  if (!isLoopbackHost(host)) return refused('Without a token the Host header must be localhost or a loopback address.');
  if (origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase()}`) {
    return refused('A page of another site may not use the admin API.');
  }
  if (fetchSite !== undefined && FOREIGN_SITES.has(fetchSite))
    return refused('A page of another site may not use the admin API.');
  return { kind: 'full' };
}

function judgeToken({ authorization }: Credentials, token: string): Admission {
  if (authorization === undefined) return { kind: 'probe' };
  const given = /^bearer +(\S+)$/i.exec(authorization)?.[1];
  if (given !== undefined && sameSecret(given, token)) return { kind: 'full' };
  return { kind: 'refused', status: 401, detail: 'The token is not the one of admin.token.' };
}

/** What the request may do. `token` null: none is configured. */
export const judgeRequest = (credentials: Credentials, token: string | null): Admission =>
  token === null ? judgeLocal(credentials) : judgeToken(credentials, token);
