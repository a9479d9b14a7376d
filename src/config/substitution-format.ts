/**
 * `${NAME}` and `${file:PATH}` inside texts. What is put in is not looked at again, so a secret may contain anything.
 */
import { isAbsolute, join } from 'node:path';
import { err, ok, type Result } from '../domain/basics.ts';
import { quoted } from './path-format.ts';

/** What a configuration may take from outside its file. */
export type Lookups = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The text of a file by its absolute path, or why it cannot be read. */
  readFile(path: string): Result<string, string>;
  /** Absolute folder at which relative paths start. */
  readonly root: string;
};

const PLACEHOLDER = /\$\{([^}]*)\}?/g;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** True where the text has something to put in. */
export const hasPlaceholder = (text: string): boolean => text.includes('${');

function lookUp(inner: string, closed: boolean, lookups: Lookups): Result<string, string> {
  if (!closed) return err(`a \${ is never closed; write \${NAME} or \${file:PATH}, and put a text that contains \${ into a file`);
  if (inner.startsWith('file:')) return readSecret(inner.slice('file:'.length), lookups);
  if (!VARIABLE.test(inner))
    return err(`\${${quoted(inner).slice(1, -1)}} names no environment variable; write \${NAME} or \${file:PATH}`);
  const value = Object.hasOwn(lookups.environment, inner) ? lookups.environment[inner] : undefined;
  return value === undefined ? err(`the environment variable ${inner} is not set`) : ok(value);
}

function readSecret(path: string, lookups: Lookups): Result<string, string> {
  if (path === '') return err(`\${file:} names no file; write \${file:PATH}`);
  const absolute = isAbsolute(path) ? path : join(lookups.root, path);
  const content = lookups.readFile(absolute);
  return content.ok
    ? ok(content.value.replace(/\r?\n$/, ''))
    : err(`cannot read ${quoted(absolute).slice(1, -1)}: ${content.error}`);
}

/** The text with everything put in; a file's content without its last line end. Every problem there is; none of them shows a value. */
export function substitute(text: string, lookups: Lookups): Result<string, readonly string[]> {
  const problems = new Set<string>();
  const value = text.replace(PLACEHOLDER, (whole, inner: string) => {
    const found = lookUp(inner, whole.endsWith('}'), lookups);
    if (found.ok) return found.value;
    problems.add(found.error);
    return '';
  });
  return problems.size === 0 ? ok(value) : err([...problems]);
}
