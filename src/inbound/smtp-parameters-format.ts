/**
 * Reads the arguments of MAIL and RCPT: path, then ESMTP parameters (RFC 5321 section 4.1.2, RFC 1870, 3461, 4954, 6152, 6531, 8689).
 * Unknown parameters are refused; xtext is checked decoded and kept encoded. Takes one line without controls.
 */
import { type Mailbox, type PathProblem, parseMailbox, type ReversePath } from '../domain/address.ts';
import { err, ok, type Result } from '../domain/basics.ts';
import type { NotifyOn } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import { REPLIES } from './reply-table.ts';

/** What MAIL said. */
export type MailCommand = {
  readonly reversePath: ReversePath;
  /** SIZE as declared, null where it was not. */
  readonly declaredSize: number | null;
  readonly smtpUtf8: boolean;
  /** RFC 8689. */
  readonly requireTls: boolean;
  readonly return: 'full' | 'headers' | null;
  readonly envelopeId: string | null;
};

/** What RCPT said. `postmaster` stands for the reserved address without a domain. */
export type RecipientCommand = {
  readonly mailbox: Mailbox | 'postmaster';
  readonly notify: readonly NotifyOn[] | null;
  readonly originalRecipient: string | null;
};

type Parameters = ReadonlyMap<string, string | null>;

const KEYWORD = /^[A-Za-z0-9][A-Za-z0-9-]*$/;
const NONE: Parameters = new Map();
const MAIL_PARAMETERS = new Set(['SIZE', 'BODY', 'SMTPUTF8', 'RET', 'ENVID', 'REQUIRETLS']);
/** Where AUTH is offered (RFC 4954, section 5). Who is meant is not passed on: the user counts, not what the user says. */
const MAIL_PARAMETERS_AUTH = new Set([...MAIL_PARAMETERS, 'AUTH']);
const RECIPIENT_PARAMETERS = new Set(['NOTIFY', 'ORCPT']);
const ENVELOPE_ID_LIMIT = 100;
const ORIGINAL_RECIPIENT_LIMIT = 500;
const PATH_LIMIT = 1024;

/** MAIL's arguments: what follows the verb and a space. `offersAuth`: EHLO said AUTH. */
export function parseMail(text: string, offersAuth = false): Result<MailCommand, SmtpReply> {
  const parts = splitArguments(text, /^FROM: */i);
  if (parts === null) return err(REPLIES.mailSyntax);
  const parameters = parseParameters(parts.rest, offersAuth ? MAIL_PARAMETERS_AUTH : MAIL_PARAMETERS);
  if (!parameters.ok) return parameters;
  const smtpUtf8 = parameters.value.has('SMTPUTF8');
  const reversePath = parts.path === '' ? ok(null) : parseMailbox(parts.path, smtpUtf8);
  if (!reversePath.ok) return err(pathReply(reversePath.error, REPLIES.badSender));
  const values = mailValues(parameters.value);
  if (!values.ok) return values;
  return ok({ ...values.value, smtpUtf8, requireTls: parameters.value.has('REQUIRETLS'), reversePath: reversePath.value });
}

/** RCPT's arguments. `smtpUtf8`: MAIL had said so. */
export function parseRecipient(text: string, smtpUtf8: boolean): Result<RecipientCommand, SmtpReply> {
  const parts = splitArguments(text, /^TO: */i);
  if (parts === null) return err(REPLIES.recipientSyntax);
  const mailbox = /^postmaster$/i.test(parts.path) ? ok('postmaster' as const) : parseMailbox(parts.path, smtpUtf8);
  if (!mailbox.ok) return err(pathReply(mailbox.error, REPLIES.badRecipient));
  const parameters = parseParameters(parts.rest, RECIPIENT_PARAMETERS);
  if (!parameters.ok) return parameters;
  const notify = parseNotify(parameters.value.get('NOTIFY'));
  const originalRecipient = parseOriginalRecipient(parameters.value.get('ORCPT'), smtpUtf8);
  if (!notify.ok || !originalRecipient.ok) return err(REPLIES.badParameter);
  return ok({ mailbox: mailbox.value, notify: notify.value, originalRecipient: originalRecipient.value });
}

function pathReply(problem: PathProblem, bad: SmtpReply): SmtpReply {
  switch (problem) {
    case 'needs-smtputf8':
      return REPLIES.needsSmtpUtf8;
    case 'syntax':
    case 'too-long':
    case 'bad-domain':
      return bad;
  }
}

/** The path without its brackets and the text of the parameters behind it; null where there is no `<…>`. */
function splitArguments(text: string, lead: RegExp): { readonly path: string; readonly rest: string } | null {
  const prefix = lead.exec(text)?.[0];
  if (prefix === undefined || text[prefix.length] !== '<') return null;
  const end = endOfPath(text, prefix.length + 1);
  if (end === null) return null;
  const rest = text.slice(end + 1);
  if (rest !== '' && rest[0] !== ' ') return null;
  return { path: text.slice(prefix.length + 1, end), rest };
}

/** The place of the `>` that ends a path; one inside a quoted local part does not. */
function endOfPath(text: string, start: number): number | null {
  let quoted = false;
  for (let at = start; at < text.length && at - start < PATH_LIMIT; at += 1) {
    const character = text[at];
    if (quoted && character === '\\') at += 1;
    else if (character === '"') quoted = !quoted;
    else if (character === '>' && !quoted) return at;
    else if (character === '<' && !quoted) return null;
  }
  return null;
}

/** Null in the map: a parameter without a value. */
function parseParameters(rest: string, known: ReadonlySet<string>): Result<Parameters, SmtpReply> {
  if (rest === '') return ok(NONE);
  const parameters = new Map<string, string | null>();
  for (const word of rest.split(' ')) {
    if (word === '') continue;
    const equals = word.indexOf('=');
    const keyword = (equals < 0 ? word : word.slice(0, equals)).toUpperCase();
    if (!KEYWORD.test(keyword)) return err(REPLIES.badParameter);
    if (!known.has(keyword)) return err(REPLIES.unknownParameter);
    if (parameters.has(keyword)) return err(REPLIES.duplicateParameter);
    parameters.set(keyword, equals < 0 ? null : word.slice(equals + 1));
  }
  return ok(parameters);
}

type MailValues = Pick<MailCommand, 'declaredSize' | 'return' | 'envelopeId'>;
const NO_VALUES: MailValues = { declaredSize: null, return: null, envelopeId: null };

function mailValues(parameters: Parameters): Result<MailValues, SmtpReply> {
  if (parameters.size === 0) return ok(NO_VALUES);
  const size = parameters.get('SIZE');
  const body = parameters.get('BODY');
  const ret = parameters.get('RET')?.toUpperCase();
  const envelopeId = parameters.get('ENVID');
  const sound =
    (size === undefined || (size !== null && /^\d{1,20}$/.test(size))) &&
    (body === undefined || (body !== null && /^(7BIT|8BITMIME)$/i.test(body))) &&
    (!parameters.has('SMTPUTF8') || parameters.get('SMTPUTF8') === null) &&
    (!parameters.has('REQUIRETLS') || parameters.get('REQUIRETLS') === null) &&
    isAuthValue(parameters.get('AUTH')) &&
    (!parameters.has('RET') || ret === 'FULL' || ret === 'HDRS') &&
    (envelopeId === undefined || (envelopeId !== null && envelopeId.length <= ENVELOPE_ID_LIMIT && isXtext(envelopeId)));
  if (!sound) return err(REPLIES.badParameter);
  return ok({
    declaredSize: typeof size === 'string' ? Number(size) : null,
    return: ret === undefined ? null : ret === 'FULL' ? 'full' : 'headers',
    envelopeId: envelopeId ?? null,
  });
}

/** RFC 3461, section 4: printable ASCII without `+` and `=`, and `+XX`; what that stands for must not be a control. */
function isXtext(text: string): boolean {
  if (!/^(?:[!-*,-<>-~]|\+[0-9A-F]{2})+$/.test(text)) return false;
  return !/\+(?:[01][0-9A-F]|7F)/.test(text);
}

/** Xtext of a mailbox, or `<>`; undefined where the parameter is not given. */
const isAuthValue = (text: string | null | undefined): boolean =>
  text === undefined || (text !== null && text.length <= ORIGINAL_RECIPIENT_LIMIT && (text === '<>' || isXtext(text)));

const NOTIFY: Readonly<Record<string, NotifyOn>> = { SUCCESS: 'success', FAILURE: 'failure', DELAY: 'delay' };

/** Empty list: NEVER, which stands alone. */
function parseNotify(text: string | null | undefined): Result<readonly NotifyOn[] | null, 'bad'> {
  if (text === undefined) return ok(null);
  if (text === null || text.length > 32) return err('bad');
  if (text.toUpperCase() === 'NEVER') return ok([]);
  const wanted = new Set<NotifyOn>();
  for (const word of text.toUpperCase().split(',')) {
    const on = NOTIFY[word];
    if (on === undefined) return err('bad');
    wanted.add(on);
  }
  return ok([...wanted]);
}

/** `type;xtext`. Characters above ASCII, allowed with SMTPUTF8 in type utf-8, become `\x{…}` (RFC 6533, section 3). */
function parseOriginalRecipient(text: string | null | undefined, smtpUtf8: boolean): Result<string | null, 'bad'> {
  if (text === undefined) return ok(null);
  if (text === null || (!smtpUtf8 && /[^\x21-\x7e]/.test(text))) return err('bad');
  const encoded = text.replace(
    /[^\x00-\x7f]/gu,
    (character) => `\\x{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`,
  );
  const semicolon = encoded.indexOf(';');
  const type = encoded.slice(0, Math.max(0, semicolon));
  if (encoded.length > ORIGINAL_RECIPIENT_LIMIT || !KEYWORD.test(type)) return err('bad');
  if (encoded !== text && type.toLowerCase() !== 'utf-8') return err('bad');
  return isXtext(encoded.slice(semicolon + 1)) ? ok(encoded) : err('bad');
}
