/**
 * The one place where foreign text is made harmless for terminals, log lines and notices: no control characters, no
 * reordering of what is read, a bounded length. MIME has its own rules (reporting/mime-format.ts).
 */

/** The most characters of foreign text that are shown or logged. */
export const QUOTE_LIMIT = 512;

/** C0, DEL, C1, line and paragraph separators, bidirectional overrides, invisible marks and lone surrogates. */
const UNSAFE = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Surrogate}/u;
const EVERY_UNSAFE = new RegExp(UNSAFE, 'gu');
const EVERY_UNSAFE_BUT_LAYOUT =
  /(?![\t\n])[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Surrogate}/gu;

const codeEscape = (character: string): string => {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
};

/** The first `limit` UTF-16 units of `text`, the last of them `…` where something is missing; never half a character. */
export function capText(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const head = text.slice(0, Math.max(0, limit - 1));
  return `${head.replace(/[\ud800-\udbff]$/, '')}…`;
}

/**
 * `text` on one line and safe to show: unsafe characters as `\x1b` or `\u202e`, at most `limit` UTF-16 units.
 * Gives the same string back where nothing needs to change, which is the usual case.
 */
export function escapeText(text: string, limit: number = QUOTE_LIMIT): string {
  const head = text.length > limit ? capText(text, limit) : text;
  return UNSAFE.test(head) ? capText(head.replace(EVERY_UNSAFE, codeEscape), limit) : head;
}

/** Like `escapeText` without a limit, but keeps tabs and line feeds: for showing a whole text on a terminal. */
export const escapeLines = (text: string): string => text.replace(EVERY_UNSAFE_BUT_LAYOUT, codeEscape);

/** JSON text whose strings hold no character a terminal would obey; means the same document. */
export const escapeJson = (json: string): string =>
  json.replace(/[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
