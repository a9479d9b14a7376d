/**
 * Reads a configuration from the file system and compiles it. Synchronous: the files are small, and it happens at start and on reload only.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { err, type NonEmpty, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import { type Compiled, compile } from './compile.ts';
import type { Machine } from './compile-build.ts';
import { LARGEST_DOCUMENT } from './document-format.ts';
import type { ConfigIssue } from './issue-format.ts';
import type { Path } from './path-format.ts';
import type { Lookups } from './substitution-format.ts';

/** Where a configuration is looked for when none is named, in this order. */
export const DEFAULT_FILES: NonEmpty<string> = ['config/postern.yaml', '/etc/postern/postern.yaml'];

/** Secrets are short. */
const LARGEST_SECRET = 65_536;

/** The machine this process runs on. */
export const thisMachine = (): Machine => ({ hostname: hostname(), cores: availableParallelism() });

/** Which file, and what its content may depend on. */
export type LoadRequest = {
  /** Undefined: the first of DEFAULT_FILES that exists. */
  readonly file: string | undefined;
  readonly environment: Lookups['environment'];
  readonly machine: Machine;
  /** What must hold besides, such as policy tests: every problem with its place. */
  readonly judge?: (config: Config) => readonly { readonly path: Path; readonly text: string }[];
};

/** A configuration that holds, and the file it came from as the operator named it. */
export type Loaded = Compiled & { readonly file: string };

/** Reads and compiles. A file that cannot be read is an issue, too. */
export function loadConfig({ file, environment, machine, judge }: LoadRequest): Result<Loaded, NonEmpty<ConfigIssue>> {
  const found = file === undefined ? readFirst(DEFAULT_FILES) : { file, text: readBounded(file, LARGEST_DOCUMENT) };
  if (!found.text.ok) return err([unreadable(found.file, found.text.error)]);
  const root = dirname(dirname(resolve(found.file)));
  const readFile = (path: string): Result<string, string> => readBounded(path, LARGEST_SECRET);
  const compiled = compile({ text: found.text.value, file: found.file }, { environment, machine, root, readFile });
  if (!compiled.ok) return compiled;
  const { config, warnings, issueAt } = compiled.value;
  const [first, ...others] = (judge?.(config) ?? []).map(({ path, text }) => issueAt(path, text));
  return first === undefined ? ok({ ...compiled.value, file: found.file }) : err([first, ...others, ...warnings]);
}

function unreadable(file: string, problem: string): ConfigIssue {
  return { severity: 'error', file, line: 1, column: 1, path: '', message: `cannot read the configuration: ${problem}` };
}

type Found = { readonly file: string; readonly text: Result<string, string> };

/** The first file that is there; one that is there but cannot be read is not passed over. */
function readFirst(files: NonEmpty<string>): Found {
  const [first, ...others] = files;
  const text = readBounded(first, LARGEST_DOCUMENT);
  const [next, ...rest] = others;
  if (text.ok || text.error !== NOT_FOUND) return { file: first, text };
  if (next === undefined)
    return { file: first, text: err(`${NOT_FOUND}; looked for ${DEFAULT_FILES.join(' and ')}; name one with --config FILE`) };
  return readFirst([next, ...rest]);
}

const NOT_FOUND = 'no such file';
const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: NOT_FOUND,
  ENOTDIR: NOT_FOUND,
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
};

/** The text of a plain file of at most `limit` bytes in UTF-8, or why not. */
export function readBounded(path: string, limit: number): Result<string, string> {
  try {
    const descriptor = openSync(path, 'r');
    try {
      return readOpen(descriptor, limit);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown problem';
    return err(PROBLEMS[code] ?? code);
  }
}

function readOpen(descriptor: number, limit: number): Result<string, string> {
  const stat = fstatSync(descriptor);
  if (stat.isDirectory()) return err('it is a folder');
  const buffer = Buffer.alloc(limit + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length <= limit; length += read)
    read = readSync(descriptor, buffer, length, buffer.length - length, null);
  if (length > limit) return err(`it is larger than ${limit} bytes`);
  try {
    return ok(new TextDecoder('utf-8', { fatal: true }).decode(buffer.subarray(0, length)));
  } catch {
    return err('it is not UTF-8 text');
  }
}
