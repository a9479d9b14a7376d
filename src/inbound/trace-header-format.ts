/**
 * The Received field we put before every message: RFC 5321 section 4.4, `with` keywords of RFC 3848 and RFC 6531,
 * `tls` clause of RFC 8314 section 4.3. Whatever came from the client is reduced to characters that mean nothing here.
 */
import { isIPv6 } from 'node:net';
import { mailboxText } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { QueueId, Recipient } from '../domain/envelope.ts';
import type { TlsFacts } from '../domain/tls.ts';

/** What the field tells. */
export type TraceFacts = {
  readonly ip: string;
  readonly helo: string;
  /** EHLO rather than HELO. */
  readonly extended: boolean;
  readonly tls: TlsFacts | null;
  /** The client logged in. */
  readonly authenticated: boolean;
  readonly smtpUtf8: boolean;
  /** Our own name. */
  readonly hostname: string;
  readonly queueId: QueueId;
  readonly recipients: readonly Recipient[];
  readonly receivedAt: Instant;
};

/** What may stand in the from clause as it is: a domain or an address literal. */
const PLAIN_HELO = /^[A-Za-z0-9._\-:[\]]+$/;
const NOT_PLAIN = /[^A-Za-z0-9._\-:[\]]/g;
/** Atoms of a cipher or group name; they come from OpenSSL, not from the client. */
const NOT_ATOM = /[^A-Za-z0-9._-]/g;
/** A verified name of the client's certificate: a domain, `*.` in front perhaps. */
const NOT_NAME = /[^A-Za-z0-9._*-]/g;
/** Printable ASCII: what a field may hold in a message that is not SMTPUTF8. */
const NOT_ASCII = /[^\x20-\x7e]/;

/** The RFC 3848 and RFC 6531 keyword. HELO knows no keyword for TLS: the tls clause says it. */
function withKeyword(facts: TraceFacts): string {
  if (!facts.extended) return 'SMTP';
  return `${facts.smtpUtf8 ? 'UTF8SMTP' : 'ESMTP'}${facts.tls === null ? '' : 'S'}${facts.authenticated ? 'A' : ''}`;
}

/** The address as a literal (RFC 5321, section 4.1.3). */
const literal = (ip: string): string => (isIPv6(ip) ? `[IPv6:${ip}]` : `[${ip}]`);

const atom = (name: string): string => name.replace(NOT_ATOM, '_');

/** ` for <address>`, on a line of its own, only where there is one recipient: a list would tell them of each other. */
function forClause(facts: TraceFacts): string {
  const only = facts.recipients.length === 1 ? facts.recipients[0] : undefined;
  if (only === undefined) return '';
  const text = mailboxText(only.mailbox);
  return NOT_ASCII.test(text) && !facts.smtpUtf8 ? '' : `\r\n\tfor <${text}>`;
}

function tlsComment(tls: TlsFacts): string {
  const group = tls.group === null ? '' : ` ${atom(tls.group)}`;
  const client = tls.peer === null ? '' : `\r\n\t(client certificate verified: ${tls.peer.replace(NOT_NAME, '_')})`;
  return `\r\n\t(${atom(tls.version)} ${atom(tls.cipher)}${group})${client}`;
}

function tlsClause(tls: TlsFacts): string {
  return `\r\n\ttls ${atom(tls.cipher)}${tls.group === null ? '' : ` group ${atom(tls.group)}`}`;
}

/** `Sun, 01 Feb 2026 03:04:05 +0000`. */
export const dateText = (moment: Instant): string => `${new Date(moment).toUTCString().slice(0, -3)}+0000`;

/** The field with its CRLF, folded; UTF-8 only where the message is SMTPUTF8. */
export function traceHeader(facts: TraceFacts): string {
  const helo = PLAIN_HELO.test(facts.helo) ? facts.helo : facts.helo.replace(NOT_PLAIN, '?');
  const tls = facts.tls;
  const first = `Received: from ${helo}${helo.length > 30 ? '\r\n\t' : ' '}(${literal(facts.ip)})`;
  const by = `\r\n\tby ${facts.hostname} (Postern)${facts.hostname.length > 30 ? '\r\n\t' : ' '}with ${withKeyword(facts)}`;
  const comment = tls === null ? '' : tlsComment(tls);
  const clause = tls === null ? '' : tlsClause(tls);
  return `${first}${by}${comment}\r\n\tid ${facts.queueId}${forClause(facts)}${clause};\r\n\t${dateText(facts.receivedAt)}\r\n`;
}
