/**
 * What `postern queue …` prints for people.
 */
import type { EntryDocument, MessageDocument, PageDocument, StatsDocument } from '../admin/documents-format.ts';
import type { Milliseconds } from '../domain/basics.ts';
import { ageText, type Column, facts, sizeText, table } from './table-format.ts';

/** When now is, and how wide the terminal; null where there is none. */
export type View = { readonly now: Milliseconds; readonly columns: number | null };

const COLUMNS: readonly Column[] = [
  { heading: 'ID' },
  { heading: 'STATE' },
  { heading: 'AGE', align: 'right' },
  { heading: 'TRIES', align: 'right' },
  { heading: 'NEXT', align: 'right' },
  { heading: 'SIZE', align: 'right' },
  { heading: 'FROM', most: 30 },
  { heading: 'TO', most: 30 },
  { heading: 'LAST ANSWER' },
];

const STATE = { queued: 'waiting', leased: 'under way', held: 'held' } as const;

const since = (time: string, now: Milliseconds): string => ageText(now - Date.parse(time));
const path = (address: string): string => (address === '' ? '<>' : address);

/** When the next attempt comes: `now`, a time from now, or nothing. */
function nextText({ state, due }: EntryDocument, now: Milliseconds): string {
  if (state !== 'queued') return '';
  const left = Date.parse(due) - now;
  return left <= 0 ? 'now' : ageText(left);
}

const reasonText = ({ lastFailure }: EntryDocument): string =>
  lastFailure === null ? '' : `${lastFailure.enhanced} ${lastFailure.text}`;

const rowOf = (entry: EntryDocument, now: Milliseconds): readonly string[] => [
  entry.queueId,
  STATE[entry.state],
  since(entry.receivedAt, now),
  String(entry.attempts),
  nextText(entry, now),
  sizeText(entry.sizeBytes),
  path(entry.from),
  entry.to,
  reasonText(entry),
];

/** The entries of a page, and how many more there are. */
export function pageText({ entries, total }: PageDocument, { now, columns }: View): string {
  if (entries.length === 0) return 'Nothing in the queue matches.\n';
  const rows = entries.map((entry) => rowOf(entry, now));
  const all = total === null ? 'more than 10,000' : String(total);
  const more =
    total !== null && total <= entries.length ? '' : `${entries.length} of ${all} recipients shown; --limit N shows more.\n`;
  return table(COLUMNS, rows, columns) + more;
}

function originText({ origin }: MessageDocument): string {
  if (origin.kind === 'notice') return 'made here (a notice)';
  if (origin.kind === 'report') return 'made here (a TLS report)';
  const tls = origin.tls === null ? 'in plaintext' : `over ${origin.tls.version}`;
  return `${origin.helo} [${origin.ip}] ${tls}, listener ${origin.listener}`;
}

function recipientText(entry: EntryDocument, now: Milliseconds): string {
  const next = nextText(entry, now);
  const failure = entry.lastFailure;
  const server = failure === null ? [] : [...new Set([failure.mx, failure.ip])].filter((part) => part !== null);
  return facts([
    ['to', entry.to],
    [
      '  state',
      `${STATE[entry.state]}, ${entry.attempts} ${entry.attempts === 1 ? 'try' : 'tries'}${next === '' ? '' : `, next ${next === 'now' ? next : `in ${next}`}`}`,
    ],
    ...(entry.connector === null ? [] : [['  connector', entry.connector] as const]),
    ...(failure === null ? [] : [['  last answer', reasonText(entry)] as const]),
    ...(server.length === 0 ? [] : [['  server', server.join(' ')] as const]),
  ]);
}

/** A message and each of its recipients. */
export function messageText(message: MessageDocument, { now }: View): string {
  const { dsn } = message;
  const demands = [
    message.smtpUtf8 ? 'SMTPUTF8' : '',
    message.eightBit ? '8BITMIME' : '',
    message.requireTls ? 'REQUIRETLS' : '',
  ];
  const head = facts([
    ['id', message.queueId],
    ['from', path(message.from)],
    ['received', `${message.receivedAt} (${since(message.receivedAt, now)} ago)`],
    ['by', originText(message)],
    ['size', sizeText(message.sizeBytes)],
    ['needs', demands.filter((demand) => demand !== '').join(', ') || 'nothing special'],
    ...(dsn.envelopeId === null ? [] : [['envelope id', dsn.envelopeId] as const]),
  ]);
  return [head, ...message.recipients.map((entry) => recipientText(entry, now))].join('\n');
}

/** Numbers of the queue, and its destinations. */
export function statsText(stats: StatsDocument, { now, columns }: View): string {
  const { queued, leased, held } = stats.recipients;
  const head = facts([
    ['messages', `${stats.messages}, ${sizeText(stats.bytes)}`],
    ['recipients', `${queued} waiting, ${leased} under way, ${held} held`],
    ['oldest', stats.oldest === null ? 'none' : `${since(stats.oldest, now)} ago`],
  ]);
  if (stats.domains.length === 0) return head;
  const rows = stats.domains.map(({ domain, recipients, oldest }) => [domain, String(recipients), since(oldest, now)]);
  const headings: readonly Column[] = [
    { heading: 'DOMAIN', most: 60 },
    { heading: 'RECIPIENTS', align: 'right' },
    { heading: 'OLDEST', align: 'right' },
  ];
  return `${head}\n${table(headings, rows, columns)}`;
}
