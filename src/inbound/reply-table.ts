/**
 * Our own replies, to be read beside RFC 5321 section 4.2 and RFC 3463, and how a reply goes onto the wire.
 * Texts are printable ASCII and never quote the client.
 */
import type { SmtpReply } from '../domain/outcome.ts';
import type { SpoolProblem } from '../spool/spool.ts';

const reply = (code: number, enhanced: SmtpReply['enhanced'], text: string): SmtpReply => ({ code, enhanced, text });

export const REPLIES = {
  ok: reply(250, '2.0.0', 'Ok'),
  senderOk: reply(250, '2.1.0', 'Ok'),
  recipientOk: reply(250, '2.1.5', 'Ok'),
  sendData: reply(354, null, 'End data with <CR><LF>.<CR><LF>'),
  startTls: reply(220, '2.0.0', 'Ready to start TLS'),
  bye: reply(221, '2.0.0', 'Bye'),
  help: reply(214, '2.0.0', 'See https://www.rfc-editor.org/rfc/rfc5321'),
  verify: reply(252, '2.0.0', 'Cannot verify; send some mail and try'),

  heloSyntax: reply(501, '5.5.4', 'Syntax: EHLO hostname'),
  heloFirst: reply(503, '5.5.1', 'Send EHLO first'),
  mailFirst: reply(503, '5.5.1', 'Need MAIL command'),
  nestedMail: reply(503, '5.5.1', 'Nested MAIL command'),
  recipientFirst: reply(503, '5.5.1', 'Need RCPT command'),
  noValidRecipients: reply(554, '5.5.1', 'No valid recipients'),
  noParameters: reply(501, '5.5.4', 'No parameters allowed'),
  tlsActive: reply(503, '5.5.1', 'TLS is already active'),
  notImplemented: reply(502, '5.5.1', 'Command not implemented'),
  unknownCommand: reply(500, '5.5.2', 'Command not recognized'),
  badCharacters: reply(501, '5.5.2', 'Control characters or invalid UTF-8 in command'),
  bareLineFeed: reply(500, '5.5.2', 'Lines must end with <CR><LF>'),
  lineTooLong: reply(500, '5.5.2', 'Line too long'),

  authSyntax: reply(501, '5.5.4', 'Syntax: AUTH mechanism'),
  authEncoding: reply(501, '5.5.2', 'Cannot decode the response'),
  authCancelled: reply(501, '5.7.0', 'Authentication cancelled'),
  authDone: reply(503, '5.5.1', 'Already authenticated'),
  authInMail: reply(503, '5.5.1', 'Not during a mail transaction'),
  authNeedsTls: reply(538, '5.7.11', 'Encryption is required: issue a STARTTLS command first'),
  unknownMechanism: reply(504, '5.5.4', 'Unknown authentication mechanism'),
  badCredentials: reply(535, '5.7.8', 'Authentication failed'),
  authenticated: reply(235, '2.7.0', 'Authentication successful'),
  authBusy: reply(454, '4.7.0', 'Too many logins at once, try again later'),

  requireTlsNeedsTls: reply(530, '5.7.10', 'REQUIRETLS needs TLS: issue a STARTTLS command first'),

  mailSyntax: reply(501, '5.5.4', 'Syntax: MAIL FROM:<address>'),
  recipientSyntax: reply(501, '5.5.4', 'Syntax: RCPT TO:<address>'),
  badSender: reply(501, '5.1.7', 'Bad sender address syntax'),
  badRecipient: reply(501, '5.1.3', 'Bad recipient address syntax'),
  needsSmtpUtf8: reply(553, '5.6.7', 'Address needs SMTPUTF8'),
  unknownParameter: reply(555, '5.5.4', 'Unknown parameter'),
  badParameter: reply(501, '5.5.4', 'Bad parameter value'),
  duplicateParameter: reply(501, '5.5.4', 'Parameter given twice'),
  tooManyRecipients: reply(452, '4.5.3', 'Too many recipients'),
  noPostmaster: reply(550, '5.1.1', 'No postmaster here'),

  tooLarge: reply(552, '5.3.4', 'Message size exceeds the limit'),
  headerTooLarge: reply(552, '5.3.4', 'Message header is too large'),
  bareLineBreak: reply(550, '5.6.11', 'Message contains bare <CR> or <LF>'),
  nulInHeader: reply(550, '5.6.0', 'Message header contains NUL'),
  leadingFold: reply(550, '5.6.0', 'Message begins with a folded line'),
  tooManyHops: reply(554, '5.4.6', 'Too many hops: mail is looping'),

  noSpace: reply(452, '4.3.1', 'Insufficient system storage, try again later'),
  storeBroken: reply(451, '4.3.0', 'Message store is not available, try again later'),
  tooManyMessages: reply(450, '4.7.1', 'Too many messages from your address, try again later'),

  talksTooSoon: reply(421, '4.7.0', 'You talk too soon'),
  httpRequest: reply(421, '4.7.0', 'This is not a web server'),
  tooManyErrors: reply(421, '4.7.0', 'Too many errors'),
  tooManyLogins: reply(421, '4.7.0', 'Too many failed logins, try again later'),
  tooManyCommands: reply(421, '4.7.0', 'Too many commands without mail'),
  tooManyConnections: reply(421, '4.3.2', 'Too many connections, try again later'),
  tooManyFromAddress: reply(421, '4.7.0', 'Too many connections from your address'),
  shuttingDown: reply(421, '4.3.2', 'Shutting down'),
  idle: reply(421, '4.4.2', 'Timed out waiting for you'),
  sessionTooLong: reply(421, '4.4.2', 'Session lasted too long'),
  dataTooSlow: reply(421, '4.4.2', 'Message data came too slowly'),
  internalError: reply(421, '4.3.0', 'Internal error'),
} as const;

/** The reply for what the spool could not do. */
export function storeReply(problem: SpoolProblem): SmtpReply {
  switch (problem.kind) {
    case 'disk-full':
    case 'read-only':
      return REPLIES.noSpace;
    case 'broken':
    case 'closed':
      return REPLIES.storeBroken;
  }
}

const UNSAFE = /[^\x20-\x7e]/g;

/** `250 2.1.5 Ok` with its CRLF; what is not printable ASCII becomes a question mark. */
export function replyLine(given: SmtpReply): string {
  const text = given.text.replace(UNSAFE, '?');
  return given.enhanced === null ? `${given.code} ${text}\r\n` : `${given.code} ${given.enhanced} ${text}\r\n`;
}

/** A reply of several lines without enhanced codes, as EHLO has it. */
export const replyLines = (code: number, lines: readonly string[]): string =>
  lines.map((line, place) => `${code}${place === lines.length - 1 ? ' ' : '-'}${line.replace(UNSAFE, '?')}\r\n`).join('');
