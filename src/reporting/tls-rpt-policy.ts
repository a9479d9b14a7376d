/**
 * Who wants TLS reports, and when one is sent: reads TLSRPT records, draws the hour, spaces the retries. RFC 8460, sections 3, 4.1
 * and 5.5. Pure.
 */
import { type Domain, type Mailbox, parseDomain, parseMailbox } from '../domain/address.ts';
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';
import { DAY_LENGTH } from '../domain/tls-report.ts';

/** Where a domain wants its reports. */
export type ReportEndpoint =
  | { readonly kind: 'mailto'; readonly mailbox: Mailbox }
  | { readonly kind: 'https'; readonly host: Domain; readonly port: number; readonly path: string };

/** What the TXT records at `_smtp._tls.DOMAIN` come to. `uris` are as written; none may be usable. */
export type TlsRptRecord =
  | { readonly kind: 'record'; readonly uris: readonly string[] }
  /** None, or more than one: the domain does not implement TLSRPT. */
  | { readonly kind: 'none' }
  | { readonly kind: 'invalid' };

/** A domain is sent its report at so many places at most. */
const MOST_ENDPOINTS = 5;
const LONGEST_URI = 1000;
const HTTPS = 443;

const VERSION = /^v=TLSRPTv1[ \t]*(;|$)/;
const FIELD = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+([ \t]*,[ \t]*[\x21-\x3a\x3c\x3e-\x7e]+)*|.*)$/;

/** Where the record lies (RFC 8460, section 3). */
export const recordName = (domain: Domain): string => `_smtp._tls.${domain}`;

/** Reads the records of a name. Records of another kind are no records; of ours there must be exactly one. */
export function parseTlsRptRecords(records: readonly string[]): TlsRptRecord {
  const ours = records.filter((text) => VERSION.test(text));
  const [record] = ours;
  if (record === undefined || ours.length > 1) return { kind: 'none' };
  const fields = record
    .split(';')
    .slice(1)
    .map((field) => field.replace(/^[ \t]+|[ \t]+$/g, ''));
  if (fields.at(-1) === '') fields.pop();
  const read = fields.map((field) => FIELD.exec(field));
  if (read.some((field) => field === null)) return { kind: 'invalid' };
  const rua = read.flatMap((field) => (field?.[1] === 'rua' ? [field[2] ?? ''] : []));
  const uris = rua.flatMap((list) => list.split(',').map((uri) => uri.replace(/^[ \t]+|[ \t]+$/g, '')));
  if (rua.length === 0 || uris.some((uri) => uri === '' || /[ \t]/.test(uri))) return { kind: 'invalid' };
  return { kind: 'record', uris: [...new Set(uris)].slice(0, MOST_ENDPOINTS) };
}

/** The endpoint of a URI (RFC 6068, RFC 3986); null for other schemes, addresses instead of names, and what does not parse. */
export function parseEndpoint(uri: string): ReportEndpoint | null {
  if (uri.length > LONGEST_URI) return null;
  if (/^mailto:/i.test(uri)) return parseMailto(uri.slice('mailto:'.length));
  return /^https:\/\//i.test(uri) ? parseHttps(uri) : null;
}

/** The first part only: subjects and bodies a stranger would have us write are left out. */
function parseMailto(text: string): ReportEndpoint | null {
  const [to = ''] = text.split('?');
  try {
    const mailbox = parseMailbox(decodeURIComponent(to), false);
    return mailbox.ok ? { kind: 'mailto', mailbox: mailbox.value } : null;
  } catch {
    return null;
  }
}

function parseHttps(uri: string): ReportEndpoint | null {
  if (!URL.canParse(uri)) return null;
  const { hostname, port, pathname, search, username, password } = new URL(uri);
  const host = parseDomain(hostname);
  if (host === null || username !== '' || password !== '') return null;
  return { kind: 'https', host, port: port === '' ? HTTPS : Number(port), path: `${pathname}${search}` };
}

/** The day of a moment: days since 1970-01-01, UTC. */
export const dayOf = (now: Instant): number => Math.floor(now / DAY_LENGTH);

/** The first moment of a day. */
export const dayStart = (day: number): Instant => (day * DAY_LENGTH) as Instant;

/** Receivers would be flooded if all the world reported at midnight (RFC 8460, section 4.1). */
const JITTER: Milliseconds = 4 * 3_600_000;
/** Sessions that ended on the day are counted by then, whatever thread saw them. */
const GRACE: Milliseconds = 60_000;

/** When the report on a day is due: after its end, within four hours; `chance` in [0, 1). */
export const reportDue = (day: number, chance: number): Instant =>
  after(dayStart(day + 1), GRACE + Math.floor(chance * (JITTER - GRACE)));

/** Delivery is given up so long after it was first tried (RFC 8460, section 5.5). */
export const GIVE_UP_AFTER: Milliseconds = DAY_LENGTH;
const FIRST_PAUSE: Milliseconds = 5 * 60_000;
const LONGEST_PAUSE: Milliseconds = 4 * 3_600_000;

/** When to try again after `tries` tries, the last of them now; null: no more. Pauses double. */
export function nextTry(tries: number, { now, until }: { readonly now: Instant; readonly until: Instant }): Instant | null {
  const next = after(now, Math.min(FIRST_PAUSE * 2 ** Math.min(tries - 1, 10), LONGEST_PAUSE));
  return next > until ? null : next;
}
