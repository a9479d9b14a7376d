/**
 * A trace for people: one block a message, one line an event, and beneath a line one plain sentence where something did not go as
 * its sender wished.
 */
import type { EventDocument, FateDocument, TraceDocument } from '../admin/trace-format.ts';
import { escapeText } from '../domain/escape.ts';
import type { TlsFacts, TlsPolicy } from '../domain/tls.ts';
import { requirementText, sourceText } from './explain-format.ts';
import { sizeText, wrap } from './table-format.ts';

/** What a line says: when, what, where, over what, and the sentences beneath. */
type Line = {
  readonly at: string;
  readonly what: string;
  readonly where: string;
  readonly tls: string;
  readonly beneath: readonly string[];
};
type Message = TraceDocument['messages'][number];
type Attempt = Extract<EventDocument, { kind: 'attempt' }>;

const STATE = {
  waiting: 'WAITS',
  delivered: 'delivered',
  returned: 'RETURNED',
  removed: 'removed by an operator',
  unknown: 'partly known',
} as const;
/** Addresses named in one line. */
const MOST_NAMED = 5;
const INDENT = '  ';

const list = (addresses: readonly string[]): string =>
  addresses.length <= MOST_NAMED
    ? addresses.join(', ')
    : `${addresses.slice(0, MOST_NAMED).join(', ')} and ${addresses.length - MOST_NAMED} more`;
const path = (address: string): string => (address === '' ? '<>' : address);
/** `2026-11-24 01:13:12Z`. */
const moment = (time: string): string => `${time.slice(0, 10)} ${time.slice(11, 19)}Z`;

const tlsText = (tls: TlsFacts | null): string =>
  tls === null ? 'plaintext' : [tls.version, tls.group, tls.peer === null ? null : `(${tls.peer})`].filter(Boolean).join(' ');

const hostText = (mx: string | null, ip: string | null): string => {
  if (ip === null) return mx ?? '';
  return mx === null || mx === ip ? `[${ip}]` : `${mx} [${ip}]`;
};

/** All messages, and what is missing. */
export function traceText(trace: TraceDocument, width: number | null): string {
  const blocks = trace.messages.map((message) => messageText(message, width));
  return [...blocks, missingText(trace)].filter((text) => text !== '').join('\n');
}

function messageText(message: Message, width: number | null): string {
  const begun = message.events.find(({ kind }) => kind === 'accepted' || kind === 'notice');
  const head =
    begun?.kind === 'accepted'
      ? `from ${path(begun.from)} to ${list(begun.to)}, ${sizeText(begun.sizeBytes)}`
      : begun?.kind === 'notice' && begun.noticeId === message.queueId
        ? `a notice to ${begun.to} about ${begun.queueId}`
        : 'its acceptance is not in the history';
  const lines = linesOf(message);
  const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map((text) => escapeText(text).length));
  const columns = {
    what: widest(lines.map(({ what }) => what)),
    where: widest(lines.flatMap(({ where, tls }) => (tls === '' ? [] : [where]))),
  };
  return `${escapeText(message.queueId)}  ${STATE[message.state]}  ${escapeText(head)}\n${lines.map((line) => lineText(line, columns, width)).join('')}`;
}

function lineText(
  { at, what, where, tls, beneath }: Line,
  columns: { readonly what: number; readonly where: number },
  width: number | null,
): string {
  const cells = [moment(at), escapeText(what).padEnd(columns.what), escapeText(where).padEnd(columns.where), escapeText(tls)];
  const first = `${INDENT}${cells.join('  ').trimEnd()}\n`;
  const margin = ' '.repeat(INDENT.length + moment(at).length + 2);
  const sentences = beneath.flatMap((sentence) =>
    wrap(escapeText(sentence, 1024), width === null ? null : width - margin.length),
  );
  return first + sentences.map((sentence) => `${margin}${sentence}\n`).join('');
}

/** The lines of a message; a policy is told where it is new. */
function linesOf({ queueId, events }: Message): readonly Line[] {
  let told = '';
  return events.flatMap((event) => {
    if (event.kind !== 'attempt') return [plainLine(event, queueId)];
    const demanded = demandText(event.policy);
    const news = demanded === '' || demanded === told ? [] : [demanded];
    if (demanded !== '') told = demanded;
    return attemptLines(event, news);
  });
}

function plainLine(event: Exclude<EventDocument, Attempt>, queueId: string): Line {
  const base = { at: event.at, tls: '', beneath: [] };
  switch (event.kind) {
    case 'accepted': {
      const under = event.connectors.length === 0 ? '' : `, connector ${event.connectors.join(', ')}`;
      const where = `from ${event.helo ?? ''} [${event.ip}], listener ${event.listener}${under}`;
      return { ...base, what: 'accepted', where, tls: tlsText(event.tls) };
    }
    case 'notice':
      if (event.noticeId === queueId)
        return { ...base, what: 'made here', where: `${event.notice} notice about ${event.queueId}` };
      return { ...base, what: 'notice', where: `${event.notice} notice ${event.noticeId} to ${event.to}` };
    case 'given-up':
      return { ...base, what: 'given up', where: `by an operator: ${list(event.to)}` };
    case 'operator':
      return { ...base, what: event.action, where: `by an operator: ${selectionText(event)}` };
  }
}

function selectionText({ ids, domain, connector }: Extract<EventDocument, { kind: 'operator' }>): string {
  if (ids !== null) return ids.length === 1 ? 'this message' : `this and other messages (${ids.length})`;
  if (domain !== null) return `everything for ${domain}`;
  return connector === null ? 'the whole queue' : `everything of connector ${connector}`;
}

const WHAT = { delivered: 'delivered', queued: 'deferred', expired: 'expired', bounced: 'failed' } as const;

/** One line for recipients that fared alike. */
function attemptLines(event: Attempt, news: readonly string[]): readonly Line[] {
  const alike = Map.groupBy(event.recipients, ({ becomes, text, mx, ip, reply }) =>
    JSON.stringify([becomes, text, mx, ip, reply]),
  );
  return [...alike.values()].flatMap((fates, at) => {
    const [first] = fates;
    if (first === undefined) return [];
    const all = alike.size === 1 && event.recipients.length === 1;
    const whom = all ? [] : [`for ${list(fates.map(({ to }) => to))}`];
    const beneath = [...whom, ...(at === 0 ? news : []), ...fateText(first), ...asides(event)];
    const reached = event.rung !== null;
    const tls = reached ? `${tlsText(event.tls)}${event.tls === null ? '' : `, rung ${event.rung}`}` : 'no session';
    const where = hostText(first.mx, first.ip);
    return [
      { at: event.at, what: WHAT[first.becomes], where: where === '' ? `connector ${event.connector}` : where, tls, beneath },
    ];
  });
}

/** Why, in one sentence, and what follows from it. */
function fateText({ becomes, reply, text, status, next, attempt }: FateDocument): readonly string[] {
  const said = text ?? '';
  switch (becomes) {
    case 'delivered':
      return reply === null ? [] : [[reply.code, reply.enhanced, reply.text].filter((part) => part !== null).join(' ')];
    case 'queued': {
      const tries = attempt === 1 ? '' : ` (attempt ${attempt})`;
      return [
        `${said}; the message waits and is tried again at ${next === null ? 'a later time' : moment(next)}${tries}. [${status}]`,
      ];
    }
    case 'expired':
      return [`${said}; the time was up after ${attempt} attempts, and the message goes back to its sender. [${status}]`];
    case 'bounced':
      return [`${said}; trying again cannot help, and the message goes back to its sender. [${status}]`];
  }
}

/** Rungs that failed on the way, and what test mode held back. */
function asides({ fallbacks, wouldBlock }: Attempt): readonly string[] {
  const steps = fallbacks.map(({ rung, failure }) => `${rung} (${failure.kind})`);
  return [
    ...(steps.length === 0 ? [] : [`rungs that failed before: ${steps.join(', ')}`]),
    ...(wouldBlock === null ? [] : [`test mode: it would have been held back, for ${wouldBlock}`]),
  ];
}

/** What the policy demanded and who, where anybody demanded something. */
function demandText(policy: TlsPolicy | null): string {
  if (policy === null) return '';
  const level = { always: 'plaintext always', allowed: 'TLS where it can be had', never: 'TLS or nothing' }[policy.plaintext];
  const peer = policy.peer.length === 0 ? '' : `; ${policy.peer.map(requirementText).join('; ')}`;
  const sources = policy.because.filter(({ kind }) => kind !== 'default').map(sourceText);
  return `policy: ${level}${sources.length === 0 ? '' : `, by ${sources.join(' and ')}`}${peer}`;
}

function missingText({ messages, complete, since, counts }: TraceDocument): string {
  const { dropped, messagesRefused } = counts;
  const begins = since === null ? 'The history is empty.' : `The history begins at ${moment(since)}.`;
  const refused = messagesRefused === 0 ? '' : ` ${messagesRefused} messages were refused since; the log says which.`;
  return [
    messages.length === 0 ? `Nothing is known of it. ${begins}${refused}\n` : '',
    complete ? '' : 'There is more: only the latest are shown (--limit).\n',
    dropped === 0 ? '' : `${dropped} events are missing from the history, because it could not keep up or be written.\n`,
  ].join('');
}
