/**
 * The machine-readable part of a notice, message/delivery-status: the fields of RFC 3464 (section 2), one block for the message and one for each recipient.
 */
import { mailboxText } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { Envelope, Recipient } from '../domain/envelope.ts';
import { escapeText } from '../domain/escape.ts';
import type { EnhancedStatusCode, SmtpReply } from '../domain/outcome.ts';
import { mailDate } from './mime-format.ts';
import type { Notice, RelayedRecipient, TroubledRecipient } from './notice-policy.ts';
import { replyText } from './notice-text-format.ts';

/** What the status tells. */
export type StatusFacts = {
  readonly notice: Notice;
  readonly original: Envelope;
  readonly hostname: string;
  readonly now: Instant;
};

/** Renders one field with its line end: `headerField`, or `asciiField` where only ASCII may pass. */
export type FieldWriter = (name: string, value: string) => string;

const NOT_ASCII = /[^\x00-\x7f]/;

/** xtext (RFC 3461, section 4) decoded; what is not xtext stays as it is. */
export const decodeXtext = (text: string): string =>
  text.replace(/(?:\+[0-9A-F]{2})+/g, (run) => Buffer.from(run.replaceAll('+', ''), 'hex').toString('utf8'));

const withClass = (digit: 2 | 4 | 5, code: EnhancedStatusCode): string => `${digit}${code.slice(1)}`;

function originalRecipient(text: string): string {
  const separator = text.indexOf(';');
  const type = text.slice(0, separator).toLowerCase();
  const address = text.slice(separator + 1);
  return `${escapeText(type)}; ${escapeText(type === 'utf-8' ? address : decodeXtext(address), 600)}`;
}

function remoteMta(field: FieldWriter, { mx, ip }: { readonly mx: string | null; readonly ip: string | null }): string {
  if (mx !== null && mx !== ip) return field('Remote-MTA', `dns; ${escapeText(mx)}`);
  return ip === null ? '' : field('Remote-MTA', `dns; [${ip.includes(':') ? 'IPv6:' : ''}${ip}]`);
}

const diagnostic = (field: FieldWriter, reply: SmtpReply): string => field('Diagnostic-Code', `smtp; ${replyText(reply)}`);

function addressFields(field: FieldWriter, recipient: Recipient): string {
  const mailbox = escapeText(mailboxText(recipient.mailbox));
  const original = recipient.originalRecipient;
  return (
    (original === null ? '' : field('Original-Recipient', originalRecipient(original))) +
    field('Final-Recipient', `${NOT_ASCII.test(mailbox) ? 'utf-8' : 'rfc822'}; ${mailbox}`)
  );
}

function troubledBlock(field: FieldWriter, facts: StatusFacts, { recipient, failure }: TroubledRecipient): string {
  const delay = facts.notice.kind === 'delay';
  return (
    addressFields(field, recipient) +
    field('Action', delay ? 'delayed' : 'failed') +
    field('Status', withClass(delay ? 4 : 5, failure.enhanced)) +
    remoteMta(field, failure) +
    (failure.reply === null ? '' : diagnostic(field, failure.reply)) +
    field('Last-Attempt-Date', mailDate(facts.now)) +
    (facts.notice.kind === 'delay' ? field('Will-Retry-Until', mailDate(facts.notice.willRetryUntil)) : '')
  );
}

function relayedBlock(field: FieldWriter, facts: StatusFacts, { recipient, reply, ...server }: RelayedRecipient): string {
  return (
    addressFields(field, recipient) +
    field('Action', 'relayed') +
    field('Status', withClass(2, reply.enhanced ?? '2.0.0')) +
    remoteMta(field, server) +
    diagnostic(field, reply) +
    field('Last-Attempt-Date', mailDate(facts.now))
  );
}

/** The whole part, its lines ending in CRLF, blocks apart by an empty line. */
export function deliveryStatus(facts: StatusFacts, field: FieldWriter): string {
  const { original, notice } = facts;
  const envelopeId = original.dsn.envelopeId;
  const message =
    (envelopeId === null ? '' : field('Original-Envelope-Id', escapeText(decodeXtext(envelopeId)))) +
    field('Reporting-MTA', `dns; ${facts.hostname}`) +
    field('Arrival-Date', mailDate(original.receivedAt));
  const blocks = notice.recipients.map((each) =>
    'failure' in each ? troubledBlock(field, facts, each) : relayedBlock(field, facts, each),
  );
  return [message, ...blocks].join('\r\n');
}
