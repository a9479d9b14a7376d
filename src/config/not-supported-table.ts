/**
 * Keys that parse but that this version does not honour: refused at their place, never silently ignored.
 * A later version deletes rows. A value that says what this version does anyway is let through. Pure.
 */
import type { Config } from '../domain/config.ts';
import { parseDuration } from './duration-format.ts';
import type { Path } from './path-format.ts';
import { type Draft, errorAtKey, isRecord } from './tree.ts';

type Row = {
  /** `*` stands for every position of a list. */
  readonly path: string;
  /** True for values that this version honours. */
  readonly unless?: (value: unknown) => boolean;
  /** The values let through, in words. */
  readonly only?: string;
};

const EMPTY = { unless: (value: unknown) => Array.isArray(value) && value.length === 0, only: 'an empty list' };
const isZeroDuration = (value: unknown): boolean => {
  const length = parseDuration(String(value));
  return length.ok && length.value === 0;
};
const notPostgres = (value: unknown): boolean => typeof value !== 'string' || !/^postgres(ql)?:/.test(value);

/** What is not supported yet. */
export const NOT_SUPPORTED_YET: readonly Row[] = [
  { path: 'listeners.*.proxyProtocol', ...EMPTY },
  { path: 'tls.downgradeMemory', unless: isZeroDuration, only: '0' },
  { path: 'tls.onDowngrade' },
  { path: 'queue.store', unless: notPostgres, only: 'sqlite' },
];

/** What `tls` means meanwhile where the schema's default asks for a feature of a later version; a line goes with its rows. */
export const UNTIL_SUPPORTED: Partial<Config['tls']> = { downgradeMemory: null };

type Match = { readonly path: Path; readonly value: unknown };

/** Everything below `match` that the steps lead to. */
function follow(match: Match, steps: readonly string[]): readonly Match[] {
  const [step, ...rest] = steps;
  if (step === undefined) return [match];
  const { path, value } = match;
  if (step === '*') {
    return Array.isArray(value)
      ? value.flatMap((inner: unknown, index) => follow({ path: [...path, index], value: inner }, rest))
      : [];
  }
  return isRecord(value) && Object.hasOwn(value, step) ? follow({ path: [...path, step], value: value[step] }, rest) : [];
}

/** An error for everything written that this version does not honour. */
export function checkSupported(root: unknown): readonly Draft[] {
  return NOT_SUPPORTED_YET.flatMap(({ path, unless, only }) =>
    follow({ path: [], value: root }, path.split('.'))
      .filter(({ value }) => unless === undefined || !unless(value))
      .map((match) =>
        errorAtKey(match.path, only === undefined ? 'not supported yet' : `not supported yet; for now this can only be ${only}`),
      ),
  );
}
