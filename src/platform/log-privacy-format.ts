/**
 * What of an address a log line shows (`log.addresses`), and which fields never show: secrets by name.
 */
import { createHash } from 'node:crypto';

/** full: as it is. domain: without the local part. hashed: a pseudonym, the same for the same address. */
export type AddressPrivacy = 'full' | 'domain' | 'hashed';

/** Fields whose value never reaches the log, at any depth looked at. The last resort: nobody should pass them. */
const SECRET = new Set([
  'password',
  'pass',
  'token',
  'secret',
  'key',
  'privateKey',
  'passphrase',
  'authorization',
  'credentials',
  'ticketKeys',
]);
const CENSORED = '[redacted]';
/** How deep objects are looked through; what lies deeper is cut off. */
const DEPTH = 4;
/** Local part and domain inside running text, bounded so that it stays linear. */
const IN_TEXT = /[^\s<>()[\]:;,"']{1,64}@(\[[0-9a-f.:]{2,64}\]|[\p{L}\p{N}_.-]{1,255})/giu;

/**
 * One address as the log shows it. The pseudonym is the start of the SHA-256 of the address with its domain in lower case: unkeyed, so
 * that whoever knows the address can find its lines; it hides addresses from a reader, not from a dictionary.
 */
export function addressForLog(address: string, privacy: AddressPrivacy): string {
  if (privacy === 'full' || address === '') return address;
  const at = address.lastIndexOf('@');
  const domain = address.slice(at + 1).toLowerCase();
  if (privacy === 'domain') return at < 0 ? '…' : `…@${domain}`;
  const canonical = `${address.slice(0, at + 1)}${domain}`;
  return `#${createHash('sha256').update(canonical).digest('hex').slice(0, 16)}`;
}

/** Running text with the addresses in it shown as `addressForLog` would. */
export const textForLog = (text: string, privacy: AddressPrivacy): string =>
  privacy === 'full' || !text.includes('@') ? text : text.replace(IN_TEXT, (address) => addressForLog(address, privacy));

/** The fields of a line, ready to be written: secrets blanked, addresses as privacy wants them, errors as text. The event comes first. */
export function fieldsForLog(
  event: string,
  fields: Readonly<Record<string, unknown>>,
  privacy: AddressPrivacy,
): Record<string, unknown> {
  const line: Record<string, unknown> = { event };
  for (const name in fields) line[name] = SECRET.has(name) ? CENSORED : shown(name, fields[name], privacy, DEPTH);
  return line;
}

function shown(name: string, value: unknown, privacy: AddressPrivacy, depth: number): unknown {
  if (typeof value === 'string') return stringShown(name, value, privacy);
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? String(value) : value;
  if (value instanceof Error) return textForLog(value.stack ?? value.message, privacy);
  if (depth === 0) return '…';
  if (Array.isArray(value)) return value.map((entry) => shown(name, entry, privacy, depth - 1));
  return objectShown(value as Readonly<Record<string, unknown>>, privacy, depth - 1);
}

/** The same object where nothing of it changes, which is the usual case: lines are written for every message. */
function objectShown(
  value: Readonly<Record<string, unknown>>,
  privacy: AddressPrivacy,
  depth: number,
): Readonly<Record<string, unknown>> {
  let copy: Record<string, unknown> | null = null;
  for (const key in value) {
    const before = value[key];
    const now = SECRET.has(key) ? CENSORED : shown(key, before, privacy, depth);
    if (now !== before) {
      copy ??= { ...value };
      copy[key] = now;
    }
  }
  return copy ?? value;
}

function stringShown(name: string, value: string, privacy: AddressPrivacy): string {
  if (privacy === 'full') return value;
  return name === 'from' || name === 'to' ? addressForLog(value, privacy) : textForLog(value, privacy);
}
