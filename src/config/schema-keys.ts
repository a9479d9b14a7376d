/**
 * What the schema says about a path: which keys are valid there, what they are for, what type is wanted. Pure.
 */
import { z } from 'zod';
import type { Path } from './path-format.ts';
import { configSchema } from './schema.ts';
import { nearest } from './suggestion.ts';

/** The schema behind defaults, options and transformations. */
function bare(schema: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return bare(schema.unwrap());
  return schema instanceof z.ZodPipe ? bare(schema.in) : schema;
}

/** The schema one step further; undefined where nothing is allowed. */
function child(schema: unknown, step: string | number): unknown {
  const inner = bare(schema);
  if (typeof step === 'string') {
    return inner instanceof z.ZodObject && Object.hasOwn(inner.shape, step) ? inner.shape[step] : undefined;
  }
  if (inner instanceof z.ZodArray) return inner.element;
  return inner instanceof z.ZodTuple ? inner.def.items[0] : undefined;
}

const schemaAt = (path: Path): unknown => path.reduce(child, configSchema as unknown);

/** The keys that may stand in the map at the path; none where no map is wanted. */
export function keysAt(path: Path): readonly string[] {
  const schema = bare(schemaAt(path));
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** What the key at the path is for. */
export function descriptionAt(path: Path): string | null {
  const schema = schemaAt(path);
  return schema instanceof z.ZodType ? (schema.description ?? null) : null;
}

/** Whether a number or a boolean is wanted at the path. */
export function wantsAt(path: Path): 'number' | 'boolean' | 'other' {
  const schema = bare(schemaAt(path));
  if (schema instanceof z.ZodNumber) return 'number';
  return schema instanceof z.ZodBoolean ? 'boolean' : 'other';
}

/** Every key of the schema as a path with `[]` for list positions, parents before children. */
export function everyKey(schema: unknown = configSchema, prefix = ''): readonly string[] {
  const inner = bare(schema);
  if (inner instanceof z.ZodArray) return everyKey(inner.element, `${prefix}[]`);
  if (inner instanceof z.ZodTuple) return everyKey(inner.def.items[0], `${prefix}[]`);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).flatMap(([key, value]) => {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    return [path, ...everyKey(value, path)];
  });
}

const EVERY_KEY = everyKey();

/** What the unknown key in the map at the path might have been meant to be. Reads after "unknown key". */
export function adviseOnKey(parent: Path, key: string): string {
  const valid = keysAt(parent);
  const near = nearest(key, valid);
  if (near !== null) return `did you mean ${near}?`;
  const elsewhere = EVERY_KEY.filter((path) => path === key || path.endsWith(`.${key}`));
  const places = elsewhere.length > 0 && elsewhere.length <= 4 ? `; ${key} belongs to ${elsewhere.map(place).join(' or ')}` : '';
  return `valid here: ${valid.join(', ')}${places}`;
}

/** Where a key belongs, in words: `listeners[].tls` becomes `listeners[]`, a key of the root `the top level`. */
function place(path: string): string {
  const end = path.lastIndexOf('.');
  return end === -1 ? 'the top level' : path.slice(0, end);
}
