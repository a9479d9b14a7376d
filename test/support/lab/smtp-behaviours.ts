/**
 * Receivers whose TLS is in order and whose SMTP differs: refusals at every step, cut and silent connections, missing extensions,
 * slow and endless replies.
 */
import { type BehaviourRow, CLOSE, DEFAULT_KEYWORDS, keywordsWithout, STALL, say, sayAndClose } from './behaviour.ts';

/** The same is expected whatever the TLS policy: the failure is not one of TLS. */
const both = (expected: string): Pick<BehaviourRow, 'opportunistic' | 'encrypt'> => ({
  opportunistic: expected,
  encrypt: expected,
});
const DEFERS = both('defers; never goes on in the clear');
const BOUNCES = both('bounces');
const DELIVERS = both('delivers over TLS');

/** Octets of the line that `huge-reply-line` sends. */
const HUGE_LINE = 256 * 1024;

/** The local part inside `TO:<…>`. */
const localPart = (argument: string): string => /<"?([^@>]*)/.exec(argument)?.[1] ?? '';

function mixedVerdict(argument: string): ReturnType<typeof say> | null {
  const local = localPart(argument);
  if (local.startsWith('bad')) return say('550 5.1.1 no such user');
  if (local.startsWith('later')) return say('451 4.2.1 mailbox busy');
  return null;
}

/** Rows by name. */
export const SMTP_BEHAVIOURS = {
  'plain-smtp': {
    does: 'knows HELO only: EHLO is refused with 502',
    opportunistic: 'delivers in the clear after HELO, same connection',
    encrypt: 'defers 4.4.317; nothing of the message in the clear',
    tls: { start: 'absent' },
    keywords: [],
    answers: { ehlo: () => say('502 5.5.1 command not implemented') },
  },
  'greeting-554': {
    does: 'greets with 554 and closes',
    ...both('gives this host up: the next one, else bounces or defers'),
    answers: { greeting: () => sayAndClose('554 5.7.1 no service here') },
  },
  'greeting-421': {
    does: 'greets with 421 and closes',
    ...DEFERS,
    answers: { greeting: () => sayAndClose('421 4.3.2 too busy') },
  },
  'greeting-stall': { does: 'accepts the connection, never greets', ...DEFERS, answers: { greeting: () => STALL } },
  'null-greeting-close': { does: 'accepts the connection and closes it', ...DEFERS, answers: { greeting: () => CLOSE } },
  'mail-451': { does: 'answers MAIL with 451', ...DEFERS, answers: { mail: () => say('451 4.7.1 try again later') } },
  'mail-550': { does: 'answers MAIL with 550', ...BOUNCES, answers: { mail: () => say('550 5.7.1 sender refused') } },
  'rcpt-550': { does: 'answers every RCPT with 550', ...BOUNCES, answers: { rcpt: () => say('550 5.1.1 no such user') } },
  'rcpt-mixed': {
    does: 'answers RCPT for bad… with 550, for later… with 451, else 250',
    ...both('delivers, bounces and defers each recipient for itself'),
    answers: { rcpt: ({ argument }) => mixedVerdict(argument) },
  },
  'data-451': { does: 'answers DATA with 451', ...DEFERS, answers: { data: () => say('451 4.3.0 not now') } },
  'dot-451': { does: 'answers the final dot with 451', ...DEFERS, answers: { message: () => say('451 4.3.0 could not store') } },
  'dot-552': { does: 'answers the final dot with 552', ...BOUNCES, answers: { message: () => say('552 5.3.4 message too big') } },
  'dot-drop': {
    does: 'closes after the final dot without a reply',
    ...both('defers (the message may have arrived); never goes on in the clear'),
    answers: { message: () => CLOSE },
  },
  'dot-stall': {
    does: 'never answers the final dot',
    ...both('defers after the data timeout'),
    answers: { message: () => STALL },
  },
  'data-drop': { does: 'closes in the middle of the message', ...DEFERS, dropsData: true },
  '421-after-mail': {
    does: 'accepts MAIL, answers RCPT with 421 and closes',
    ...DEFERS,
    answers: { rcpt: () => sayAndClose('421 4.3.2 shutting down') },
  },
  '421-second-message': {
    does: 'takes one message per connection, answers the next MAIL with 421 and closes',
    ...both('delivers each message, the second over a new connection, without counting a failure'),
    answers: { mail: ({ transactions }) => (transactions > 1 ? sayAndClose('421 4.7.0 one message per connection') : null) },
  },
  'rset-fails': {
    does: 'answers RSET with 502',
    ...both('delivers; the connection is not used again'),
    answers: { rset: () => say('502 5.5.1 command not implemented') },
  },
  'no-8bitmime': {
    does: 'does not offer 8BITMIME',
    ...both('delivers 7-bit messages, bounces 8-bit ones 5.6.x'),
    keywords: keywordsWithout('8BITMIME', 'SMTPUTF8'),
  },
  'no-smtputf8': {
    does: 'does not offer SMTPUTF8',
    ...both('delivers ASCII envelopes, bounces others 5.6.7'),
    keywords: keywordsWithout('SMTPUTF8'),
  },
  'size-small': {
    does: 'offers SIZE 1000 and means it',
    ...both('delivers small messages, bounces larger ones 5.3.4 without sending them'),
    keywords: [...keywordsWithout('SIZE'), 'SIZE 1000'],
  },
  'no-pipelining': {
    does: 'does not offer PIPELINING, closes on a client that does not wait for replies',
    ...DELIVERS,
    keywords: keywordsWithout('PIPELINING'),
  },
  slow: { does: 'pauses before every reply (50 ms by default)', ...DELIVERS, pace: 'pause-per-reply' },
  drip: { does: 'pauses before every octet of a reply (50 ms by default)', ...DELIVERS, pace: 'pause-per-byte' },
  'endless-reply': {
    does: 'answers EHLO with continuation lines without end',
    ...both('stops reading at its limit, closes and defers'),
    answers: { ehlo: () => ({ kind: 'flood', text: '250-AGAIN and again and again\r\n' }) },
  },
  'huge-reply-line': {
    does: `answers EHLO with a line of ${HUGE_LINE} octets`,
    ...both('stops reading at its limit, closes and defers'),
    answers: { ehlo: () => say(`250-lab.test\r\n250-X${'A'.repeat(HUGE_LINE)}\r\n250 SIZE 104857600`) },
  },
  dsn: {
    does: 'offers DSN and records its parameters',
    ...both('delivers, passing NOTIFY, RET, ENVID, ORCPT on'),
    keywords: [...DEFAULT_KEYWORDS, 'DSN'],
  },
  'connection-refused': { does: 'does not listen', ...both('defers, or tries the next host'), listens: false },
} as const satisfies Readonly<Record<string, BehaviourRow>>;
