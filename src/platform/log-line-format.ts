/**
 * A log line for people at a terminal (`--log pretty`): time, level, event, the sentence, then the facts as `name=value`.
 */
import { escapeText } from '../domain/escape.ts';

const COLOUR: Readonly<Record<string, string>> = { warn: '\x1b[33m', error: '\x1b[31m', debug: '\x1b[2m', trace: '\x1b[2m' };
const PLAIN = '\x1b[0m';

/**
 * The line for a record as it was written in JSON, with its line feed. Text that is no record comes back made safe.
 * Foreign text cannot steer the terminal: controls and reordering marks are escaped (domain/escape.ts).
 */
export function prettyLine(json: string, colour: boolean): string {
  const record = parseRecord(json);
  if (record === null) return `${escapeText(json.trimEnd())}\n`;
  const { level, time, event, text, ...facts } = record;
  const clock = typeof time === 'string' ? time.slice(11, 23) : '';
  const name = typeof level === 'string' ? level : 'info';
  const paint = colour ? COLOUR[name] : undefined;
  const head = `${clock} ${name.toUpperCase().padEnd(5)} ${escapeText(String(event))}`;
  const sentence = typeof text === 'string' ? [escapeText(text)] : [];
  const line = [paint === undefined ? head : `${paint}${head}${PLAIN}`, ...sentence, ...Object.entries(facts).flatMap(fact)];
  return `${line.join('  ')}\n`;
}

function parseRecord(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

/** `name=value`; an object becomes `name.inner=value` for each of its fields. What is null or empty says nothing and is left out. */
function fact([name, value]: [string, unknown]): string[] {
  if (value === null || value === undefined || value === '') return [];
  if (Array.isArray(value)) return value.length === 0 ? [] : [`${escapeText(name)}=${value.map(word).join(',')}`];
  if (typeof value === 'object') return Object.entries(value).flatMap(([inner, deep]) => fact([`${name}.${inner}`, deep]));
  return [`${escapeText(name)}=${word(value)}`];
}

function word(value: unknown): string {
  const text = escapeText(plain(value));
  return /[\s"=]/.test(text) ? `"${text.replaceAll('"', '\\"')}"` : text;
}

/** An object in a list (a listener, say) is told by its values alone. */
function plain(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? Object.values(value).map(plain).join(' ') : JSON.stringify(value);
}
