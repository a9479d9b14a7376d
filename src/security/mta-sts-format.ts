/**
 * Reads what a domain publishes about MTA-STS: the TXT record that says there is a policy, and the policy's text. Strict: a policy
 * with one bad line is no policy, because half of one would be somebody's guess. RFC 8461, sections 3.1 and 3.2.
 */
import { isUtf8 } from 'node:buffer';
import { parseDomain } from '../domain/address.ts';
import { err, ok, type Result } from '../domain/basics.ts';
import type { PolicyFault, StsMode, StsPolicy } from '../domain/mta-sts.ts';
import { type NamePattern, namePatternText } from '../domain/peer.ts';

/** The largest policy read, in octets (RFC 8461, section 3.3). */
export const MAX_POLICY_BYTES = 65_536;
/** RFC 8461, section 3.2. */
const MAX_MAX_AGE = 31_557_600;
/** More patterns than any domain has hosts. */
const MAX_MX = 500;

/** What the TXT records at `_mta-sts.DOMAIN` say. */
export type StsRecord =
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'several' }
  | { readonly kind: 'invalid' };

const ID = /^[A-Za-z0-9]{1,32}$/;
const RECORD_FIELD = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)$/;

/** The one valid record among the strings, each a whole record. Records of other kinds do not count; of two that do, neither does. */
export function parseStsRecords(records: readonly string[]): StsRecord {
  const candidates = records.filter((record) => /^v=STSv1[ \t]*;/.test(record));
  const record = candidates[0];
  if (record === undefined) return { kind: 'none' };
  if (candidates.length > 1) return { kind: 'several' };
  const id = recordId(record);
  return id === null ? { kind: 'invalid' } : { kind: 'id', id };
}

/** The first `id` of a record whose every field is well formed, or null. */
function recordId(record: string): string | null {
  const [, ...fields] = record.split(/[ \t]*;[ \t]*/);
  if (fields.at(-1) === '') fields.pop();
  let id: string | null = null;
  for (const text of fields) {
    const field = RECORD_FIELD.exec(text);
    if (field === null) return null;
    if (field[1] === 'id') id ??= field[2] ?? null;
  }
  return id !== null && ID.test(id) ? id : null;
}

/** True where a Content-Type header says plain text, in an encoding that is ASCII where the policy is (RFC 8461, section 3.3). */
export function isPlainText(contentType: string): boolean {
  const [type = '', ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  if (type !== 'text/plain') return false;
  return parameters.every(
    (parameter) => !parameter.startsWith('charset=') || /^charset="?(utf-8|us-ascii|iso-8859-1)"?$/.test(parameter),
  );
}

const KEYS = ['version', 'mode', 'max_age', 'mx'] as const;
type Key = (typeof KEYS)[number];
type Line = { readonly number: number; readonly text: string; readonly value: string };

const POLICY_FIELD = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*([^ \t](?:.*[^ \t])?)[ \t]*$/;
/** Controls have no place in a value, not even in one that is ignored. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const isKey = (name: string): name is Key => (KEYS as readonly string[]).includes(name);
const shown = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);

/** The policy in a body of at most 64 KiB, or the first thing that is wrong with it. Of a repeated key other than `mx` the first counts. */
export function parsePolicy(body: Uint8Array): Result<StsPolicy, PolicyFault> {
  if (!isUtf8(body)) return err({ kind: 'not-utf8' });
  const fields = readFields(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  if (!fields.ok) return fields;
  const { version, mode, max_age: maxAge, mx } = fields.value;
  if (version[0] === undefined) return err({ kind: 'missing', key: 'version' });
  if (version[0].value !== 'STSv1') return badValue('version', version[0]);
  if (mode[0] === undefined) return err({ kind: 'missing', key: 'mode' });
  if (!isMode(mode[0].value)) return badValue('mode', mode[0]);
  if (maxAge[0] === undefined) return err({ kind: 'missing', key: 'max_age' });
  const maxAgeSeconds = /^\d{1,10}$/.test(maxAge[0].value) ? Number(maxAge[0].value) : Number.NaN;
  if (!(maxAgeSeconds <= MAX_MAX_AGE)) return badValue('max_age', maxAge[0]);
  const patterns = readPatterns(mx);
  if (!patterns.ok) return patterns;
  if (patterns.value.length === 0 && mode[0].value !== 'none') return err({ kind: 'missing', key: 'mx' });
  return ok({ mode: mode[0].value, mx: patterns.value, maxAgeSeconds });
}

const isMode = (text: string): text is StsMode => text === 'enforce' || text === 'testing' || text === 'none';
const badValue = (key: Key, line: Line): { readonly ok: false; readonly error: PolicyFault } =>
  err({ kind: 'value', key, line: line.number, text: shown(line.text) });

/** Every line's key and value, those of unknown keys checked and left out. */
function readFields(text: string): Result<Record<Key, Line[]>, PolicyFault> {
  const fields: Record<Key, Line[]> = { version: [], mode: [], max_age: [], mx: [] };
  const lines = text.split(/\r?\n/);
  // Empty lines behind the last field mean nothing; one between fields is no field.
  while (lines.length > 1 && /^[ \t]*$/.test(lines.at(-1) ?? '')) lines.pop();
  for (const [index, line] of lines.entries()) {
    const field = POLICY_FIELD.exec(line);
    if (CONTROL.test(line) || field === null) return err({ kind: 'syntax', line: index + 1, text: shown(line) });
    const [, name = '', value = ''] = field;
    if (isKey(name)) fields[name].push({ number: index + 1, text: line, value });
  }
  return ok(fields);
}

/**
 * The patterns of the `mx` lines. A value of labels that is no host name, as an IPv4 address is, is well-formed and matches nothing:
 * it is left out, and the hosts named beside it stay protected.
 */
function readPatterns(lines: readonly Line[]): Result<readonly NamePattern[], PolicyFault> {
  if (lines.length > MAX_MX) return err({ kind: 'too-many-mx' });
  const patterns: NamePattern[] = [];
  for (const line of lines) {
    if (!/^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/.test(line.value))
      return badValue('mx', line);
    const below = line.value.startsWith('*.');
    const domain = parseDomain(below ? line.value.slice(2) : line.value);
    if (domain !== null) patterns.push({ kind: below ? 'one-below' : 'exact', domain });
  }
  return ok(patterns);
}

/** The policy as lines of its text: what reports quote (RFC 8460, section 4.4, `policy-string`). */
export const policyLines = (policy: StsPolicy): readonly string[] => [
  'version: STSv1',
  `mode: ${policy.mode}`,
  ...policy.mx.map((pattern) => `mx: ${namePatternText(pattern)}`),
  `max_age: ${policy.maxAgeSeconds}`,
];
