/**
 * What a strict server says to MAIL, RCPT and a message, going by the extensions it offers. Anything not offered is refused, so
 * that a relay which uses an extension unasked shows in the tests.
 */

/** Which keyword makes a MAIL or RCPT parameter legal. RFC 1870, 6152, 6531, 3461, 8689. */
const KEYWORD_OF: Readonly<Record<string, string>> = {
  SIZE: 'SIZE',
  BODY: '8BITMIME',
  SMTPUTF8: 'SMTPUTF8',
  RET: 'DSN',
  ENVID: 'DSN',
  NOTIFY: 'DSN',
  ORCPT: 'DSN',
  REQUIRETLS: 'REQUIRETLS',
};
const PATH = /^(?:from|to):\s*(<(?:"(?:[^"\\]|\\.)*"|[^">])*>)\s*(.*)$/is;
const NOT_ASCII = /[^\x00-\x7f]/;

type Keywords = readonly string[];

const offers = (keywords: Keywords, name: string): boolean => keywords.some((keyword) => keyword.split(' ')[0] === name);

function sizeLimit(keywords: Keywords): number {
  const announced = keywords.find((keyword) => keyword.startsWith('SIZE '));
  return announced === undefined ? Number.POSITIVE_INFINITY : Number(announced.slice(5));
}

/** What is wrong with a path and its parameters; null where nothing is. `utf8` allows characters beyond ASCII. */
function objection(argument: string, keywords: Keywords, utf8: boolean): string | null {
  const [, path, parameters = ''] = PATH.exec(argument) ?? [];
  if (path === undefined) return '501 5.5.4 syntax: MAIL FROM:<…> or RCPT TO:<…>'.replaceAll('…', 'address');
  for (const parameter of parameters.split(/\s+/).filter((text) => text !== '')) {
    const keyword = KEYWORD_OF[parameter.replace(/=.*$/s, '').toUpperCase()];
    if (keyword === undefined || !offers(keywords, keyword))
      return `555 5.5.4 parameter not recognized: ${parameter.slice(0, 40)}`;
  }
  return NOT_ASCII.test(path) && !utf8 ? '553 5.6.7 address needs SMTPUTF8' : null;
}

/** The reply to MAIL with this argument. */
export function decideMail(argument: string, keywords: Keywords): string {
  const problem = objection(argument, keywords, /\sSMTPUTF8\b/i.test(argument));
  if (problem !== null) return problem;
  const declared = Number(/\sSIZE=(\d+)/i.exec(argument)?.[1] ?? 0);
  return declared > sizeLimit(keywords) ? '552 5.3.4 message too big' : '250 2.1.0 ok';
}

/** The reply to RCPT with this argument. */
export const decideRcpt = (argument: string, keywords: Keywords): string =>
  objection(argument, keywords, offers(keywords, 'SMTPUTF8')) ?? '250 2.1.5 ok';

/** The reply to the final dot. */
export function decideMessage(message: { readonly size: number; readonly eightBit: boolean }, keywords: Keywords): string {
  if (message.size > sizeLimit(keywords)) return '552 5.3.4 message too big';
  if (message.eightBit && !offers(keywords, '8BITMIME')) return '554 5.6.1 eight-bit content, and 8BITMIME was not offered';
  return '250 2.0.0 ok: taken by the lab';
}
