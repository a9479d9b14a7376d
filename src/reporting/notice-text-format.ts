/**
 * The part of a notice that people read: what happened, who can put it right, and how. Plain words, foreign text quoted in one
 * safe line. Lines end in CRLF.
 */
import { mailboxText } from '../domain/address.ts';
import { assertNever, type Instant } from '../domain/basics.ts';
import type { Envelope } from '../domain/envelope.ts';
import { escapeText } from '../domain/escape.ts';
import type { DeliveryFailure, SmtpReply } from '../domain/outcome.ts';
import { adviceFor, type Owner } from './advice-table.ts';
import { mailDate, wrap } from './mime-format.ts';
import type { Notice, RelayedRecipient, TroubledRecipient } from './notice-policy.ts';

/** Recipients told of in full; further ones are in the machine-readable part. */
const MOST_DETAILED = 50;
const INDENT = '    ';

const OWNER: Readonly<Record<Owner, string>> = {
  sender: 'you, the sender',
  recipient: 'the recipient or the administrator of their mail server',
  relay: 'the administrator of this mail relay',
};

const plural = (count: number, one: string, many: string): string => (count === 1 ? one : `${count} ${many}`);

/** `450 4.2.1 text` as the peer said it, in one safe line of at most 512 characters. */
export const replyText = (reply: SmtpReply): string =>
  escapeText(`${reply.code} ${reply.enhanced === null ? '' : `${reply.enhanced} `}${reply.text}`);

/** `mx.example.net [192.0.2.1]`, as much of it as is known; null where no server was reached. An address may stand in for the name. */
export function serverText(server: { readonly mx: string | null; readonly ip: string | null }): string | null {
  if (server.mx === null || server.mx === server.ip) return server.ip === null ? null : `[${server.ip}]`;
  return server.ip === null ? escapeText(server.mx) : `${escapeText(server.mx)} [${server.ip}]`;
}

const entry = (label: string, text: string): string => INDENT + wrap(`${label}: ${text}`, 72, `${INDENT}  `);

function causeText(failure: DeliveryFailure): string {
  const text = escapeText(failure.text);
  return failure.reply !== null && text === replyText(failure.reply) ? 'The server refused the message.' : text;
}

function troubleLines({ recipient, failure, attempts, expired }: TroubledRecipient): readonly string[] {
  const advice = adviceFor(failure);
  const server = serverText(failure);
  const lines = [`  <${escapeText(mailboxText(recipient.mailbox))}>`, entry('What happened', causeText(failure))];
  if (expired) lines.push(entry('Given up', 'The relay kept trying until the time for this message was over.'));
  if (failure.reply !== null) lines.push(entry(`The server ${server ?? ''} said`.replace('  ', ' '), replyText(failure.reply)));
  else if (server !== null) lines.push(entry('Server', server));
  lines.push(entry('Who can put it right', OWNER[advice.owner]), entry('How', advice.remedy));
  lines.push(entry('For administrators', `code ${failure.enhanced}, ${plural(attempts, 'one attempt', 'attempts')}`), '');
  return lines;
}

function relayedLines({ recipient, reply, ...server }: RelayedRecipient): readonly string[] {
  return [
    `  <${escapeText(mailboxText(recipient.mailbox))}>`,
    entry('Passed on to', serverText(server) ?? 'the next server'),
    entry('It said', replyText(reply)),
    '',
  ];
}

function opening(notice: Notice, now: Instant): readonly string[] {
  const whom = plural(notice.recipients.length, 'the recipient below', 'recipients below');
  switch (notice.kind) {
    case 'failure':
      return [`Your message could not be delivered to ${whom}.`, 'It has been given up: nothing more will be tried.'];
    case 'delay':
      return [
        `Your message has not yet been delivered to ${whom}.`,
        'This is only a warning: you do not need to send it again.',
        wrap(`The relay keeps trying until ${mailDate(notice.willRetryUntil)} (now it is ${mailDate(now)}).`, 76, ''),
      ];
    case 'success':
      return [
        `Your message was passed on for ${whom}, as you asked to be told.`,
        'The next mail server cannot confirm deliveries: this is the last you will hear.',
      ];
    default:
      return assertNever(notice);
  }
}

/** The Subject of a notice. */
export function noticeSubject(notice: Notice): string {
  switch (notice.kind) {
    case 'failure':
      return 'Your message could not be delivered';
    case 'delay':
      return 'Your message is delayed (still trying)';
    case 'success':
      return 'Your message was passed on';
  }
}

/** The whole text. `returned` says what of the message comes with it. */
export function noticeText(
  facts: { readonly notice: Notice; readonly original: Envelope; readonly hostname: string; readonly now: Instant },
  returned: 'message' | 'headers' | 'nothing',
): string {
  const { notice, original } = facts;
  const shown = notice.recipients.slice(0, MOST_DETAILED);
  const details = shown.flatMap((each) => ('failure' in each ? troubleLines(each) : relayedLines(each)));
  const more = notice.recipients.length - shown.length;
  const enclosed = { message: 'Your message is enclosed.', headers: 'The header of your message is enclosed.', nothing: '' }[
    returned
  ];
  const lines = [
    `This is the mail relay ${facts.hostname}.`,
    '',
    ...opening(notice, facts.now),
    '',
    ...details,
    ...(more > 0 ? [`  … and ${plural(more, 'one more', 'more')}, listed in the attached report.`, ''] : []),
    'Your message',
    entry('Received here', mailDate(original.receivedAt)),
    entry('Queue id', original.queueId),
    ...(enclosed === '' ? [] : ['', enclosed]),
  ];
  return `${lines.join('\r\n')}\r\n`;
}
