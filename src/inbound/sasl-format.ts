/**
 * The client's half of AUTH, PLAIN (RFC 4616) and LOGIN: lines in, credentials or a challenge out. RFC 4954. Holds no secret longer
 * than one step; never quotes what the client sent.
 */
import { isUtf8 } from 'node:buffer';
import type { SmtpReply } from '../domain/outcome.ts';
import { REPLIES } from './reply-table.ts';

/** What a client logs in with. Never logged. */
export type LoginCredentials = { readonly name: string; readonly password: string };

/** An exchange that waits for the client's next line. */
export type SaslExchange =
  | { readonly mechanism: 'PLAIN' }
  | { readonly mechanism: 'LOGIN' /** Null: it comes next. */; readonly name: string | null };

/** What follows. `challenge` is what stands behind 334. */
export type SaslStep =
  | { readonly kind: 'ask'; readonly challenge: string; readonly exchange: SaslExchange }
  | { readonly kind: 'credentials'; readonly credentials: LoginCredentials }
  | { readonly kind: 'refuse'; readonly reply: SmtpReply };

/** As EHLO offers them. */
export const MECHANISMS = 'PLAIN LOGIN';

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const ASK_NAME = Buffer.from('Username:').toString('base64');
const ASK_PASSWORD = Buffer.from('Password:').toString('base64');
/** RFC 4616: each part is at most 255 octets. */
const LONGEST_PART = 255;

const refuse = (reply: SmtpReply): SaslStep => ({ kind: 'refuse', reply });

/** The octets of a line; null where it is not base64, or no UTF-8. `=` alone stands for no octets at all. */
function decode(line: string): string | null {
  if (line === '=') return '';
  if (!BASE64.test(line)) return null;
  const octets = Buffer.from(line, 'base64');
  return isUtf8(octets) ? octets.toString('utf8') : null;
}

/** AUTH's arguments: the mechanism and, where the client did not wait for a challenge, its first response. */
export function beginSasl(text: string): SaslStep {
  const [mechanism = '', initial, ...more] = text.split(' ');
  if (mechanism === '' || more.length > 0) return refuse(REPLIES.authSyntax);
  const exchange = firstExchange(mechanism.toUpperCase());
  if (exchange === null) return refuse(REPLIES.unknownMechanism);
  if (initial !== undefined) return continueSasl(exchange, initial);
  return { kind: 'ask', challenge: exchange.mechanism === 'PLAIN' ? '' : ASK_NAME, exchange };
}

function firstExchange(mechanism: string): SaslExchange | null {
  if (mechanism === 'PLAIN') return { mechanism };
  return mechanism === 'LOGIN' ? { mechanism, name: null } : null;
}

/** The client's next line. `*` cancels. */
export function continueSasl(exchange: SaslExchange, line: string): SaslStep {
  if (line === '*') return refuse(REPLIES.authCancelled);
  const text = decode(line);
  if (text === null) return refuse(REPLIES.authEncoding);
  switch (exchange.mechanism) {
    case 'PLAIN':
      return plain(text);
    case 'LOGIN':
      if (exchange.name !== null) return credentials(exchange.name, text);
      return { kind: 'ask', challenge: ASK_PASSWORD, exchange: { mechanism: 'LOGIN', name: text } };
  }
}

/** `authzid NUL authcid NUL passwd`: no one acts for another here. */
function plain(text: string): SaslStep {
  const parts = text.split('\0');
  const [actsFor = '', name, password] = parts;
  if (parts.length !== 3 || name === undefined || password === undefined) return refuse(REPLIES.authEncoding);
  return actsFor !== '' && actsFor !== name ? refuse(REPLIES.badCredentials) : credentials(name, password);
}

function credentials(name: string, password: string): SaslStep {
  const tooLong = Buffer.byteLength(name) > LONGEST_PART || Buffer.byteLength(password) > LONGEST_PART;
  if (name === '' || password === '' || tooLong) return refuse(REPLIES.badCredentials);
  return { kind: 'credentials', credentials: { name, password } };
}
