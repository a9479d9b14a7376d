/**
 * The schema's issues in the operator's words: what was found, what is wrong with it, what would be right. Pure.
 */
import type { z } from 'zod';
import { UNKNOWN } from './document-format.ts';
import { formatPath, type Path } from './path-format.ts';
import { adviseOnKey, descriptionAt } from './schema-keys.ts';
import { nearest } from './suggestion.ts';
import { type Draft, errorAt, errorAtKey, isRecord, shown, type Tree } from './tree.ts';

const WANTED: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'a map of keys',
  string: 'a text',
  tuple: 'a list',
};

/** Keys whose values no message shows, whoever wrote them where. */
const SECRETS: readonly unknown[] = ['password', 'token'];

/** One issue of the schema as drafts; none where the value's own text could not be had, which has been said. */
export function draftsOf(issue: z.core.$ZodIssue, tree: Tree): readonly Draft[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(path, key));
  if (issue.input === UNKNOWN) return [];
  if (issue.input === undefined) return [missing(path)];
  const replaced = tree.places.get(formatPath(path))?.replaced ?? null;
  const hidden = replaced === null && SECRETS.includes(path.at(-1)) && isScalar(issue.input);
  const value = hidden ? 'the value' : shown(issue.input, replaced);
  return [errorAt(path, `${value} ${complaint(issue, hidden || replaced !== null)}`)];
}

const isScalar = (value: unknown): boolean => value !== '' && ['string', 'number', 'boolean'].includes(typeof value);

function unknownKey(parent: Path, key: string): Draft {
  return errorAtKey([...parent, key], `unknown key; ${adviseOnKey(parent, key)}`);
}

function missing(path: Path): Draft {
  if (typeof path.at(-1) === 'number') return errorAt(path.slice(0, -1), 'the list is empty; it needs at least one element');
  const description = descriptionAt(path);
  return errorAt(path, description === null ? 'is missing' : `is missing: ${description}`);
}

function complaint(issue: z.core.$ZodIssue, hidden: boolean): string {
  switch (issue.code) {
    case 'invalid_type':
      return refuseType(WANTED[issue.expected] ?? issue.expected, issue.input);
    case 'invalid_value':
      return refuseChoice(issue.values, hidden ? null : issue.input);
    case 'too_small':
      return `is too small; the least is ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'array'
        ? `is too long; the most is ${issue.maximum}`
        : `is too large; the most is ${issue.maximum}`;
    case 'custom': {
      const right: unknown = issue.params?.['right'];
      return typeof right === 'string' && !hidden ? `${issue.message}; ${right}` : issue.message;
    }
    default:
      return issue.message;
  }
}

function refuseType(wanted: string, input: unknown): string {
  if (input === null) return `is not ${wanted}; write one, or leave the key out`;
  if (wanted === 'a list' && !isRecord(input)) return 'is not a list; put it in [ ]';
  const unquoted = wanted === 'a text' && (typeof input === 'number' || typeof input === 'boolean');
  return `is not ${wanted}${unquoted ? '; put it in quotes' : ''}`;
}

function refuseChoice(values: readonly unknown[], input: unknown): string {
  const known = values.map(String);
  const near = typeof input === 'string' ? nearest(input, known) : null;
  const hint = near === null ? '' : `; did you mean ${near}?`;
  return `is not one of ${known.join(', ')}${hint}`;
}
