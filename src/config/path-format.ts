/**
 * Where in the configuration something stands: keys and list positions from the root, `outbound[0].tls.mode`.
 */

/** Keys and list positions from the root; the root itself is empty. */
export type Path = readonly (string | number)[];

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;
/** Control, bidirectional and other invisible characters: text from a file must not move a terminal's cursor. */
const INVISIBLE = /[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** The text in double quotes, at most 60 characters of it, nothing invisible left as it is. */
export function quoted(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(short).replace(INVISIBLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The path as people write it; unusual keys in brackets and quotes, so that no two paths look the same up to 60 characters a key. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    if (!PLAIN_KEY.test(step)) return `${text}[${quoted(step)}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}
