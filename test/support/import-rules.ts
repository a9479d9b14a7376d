/**
 * Judges a tree of source files by the house rules on imports. Knows nothing of where the tree came from, so that a test can
 * feed it a made-up one; the rules themselves are tables in import-rules-table.ts.
 */
import { posix } from 'node:path';
import {
  IMPURE,
  KINDS,
  type Kind,
  PORT_ONLY,
  PURE_NODE,
  PURE_PACKAGES,
  ROOTS_ONLY,
  STAGES,
  TECHNOLOGIES,
} from './import-rules-table.ts';
import { type Import, type Outline, outline } from './source-outline.ts';

/** The names of the rules; each is proven to fail by import-rules.test.ts. */
export const RULES = [
  'readable',
  'missing',
  'pure-imports',
  'pure-globals',
  'pure-node',
  'port-types-only',
  'technology',
  'stage',
  'port-only',
  'adapter',
  'root',
  'roots-only',
  'default-import',
  'cycle',
] as const;
export type Rule = (typeof RULES)[number];

/** One breach of a rule. */
export type Violation = { readonly rule: Rule; readonly file: string; readonly detail: string };

/** Sources by path relative to src/, with forward slashes. */
export type Tree = ReadonlyMap<string, string>;

type File = { readonly path: string; readonly kind: Kind; readonly folder: string; readonly outline: Outline };
/** An import of another file of the tree. */
type Edge = { readonly from: File; readonly to: File; readonly taken: Import };

/** The kind of a file, by its name. */
export const kindOf = (path: string): Kind => KINDS.find(([pattern]) => pattern.test(path))?.[1] ?? 'flow';

const isLocal = (specifier: string): boolean => specifier.startsWith('.') || specifier.startsWith('/');
const targetOf = (from: string, specifier: string): string => posix.normalize(posix.join(posix.dirname(from), specifier));

/** Every breach in the tree, in the order of its files. */
export function judge(tree: Tree): readonly Violation[] {
  const files = new Map(
    [...tree].map(([path, source]): [string, File] => [
      path,
      { path, kind: kindOf(path), folder: posix.dirname(path).split('/')[0] ?? '.', outline: outline(source) },
    ]),
  );
  const found: Violation[] = [];
  const edges: Edge[] = [];
  for (const file of files.values()) {
    found.push(...judgeAlone(file));
    for (const taken of file.outline.imports) {
      const target = targetOf(file.path, taken.specifier);
      // A root may read the version from the manifest.
      if (target === '../package.json' && file.kind === 'root') continue;
      const to = files.get(target);
      if (!isLocal(taken.specifier)) found.push(...judgeForeign(file, taken));
      else if (to === undefined)
        found.push({ rule: 'missing', file: file.path, detail: `${taken.specifier} is no file of src/` });
      else edges.push({ from: file, to, taken });
    }
  }
  return [...found, ...edges.flatMap(judgeEdge), ...cycles(edges)];
}

/** What a file says by itself. */
function judgeAlone(file: File): Violation[] {
  const { code, unreadable } = file.outline;
  const found: Violation[] = [];
  const say = (rule: Rule, detail: string): void => void found.push({ rule, file: file.path, detail });
  for (const text of unreadable) say('readable', `${text} hides what is imported`);
  if (/(?<![.\w$])export\s+default\b/.test(code)) say('default-import', 'default export: named exports only');
  if (file.kind === 'pure') for (const what of said(IMPURE, code)) say('pure-globals', `a pure file touches ${what}`);
  else if (file.kind !== 'root') for (const what of said(ROOTS_ONLY, code)) say('roots-only', `${what} comes in as an argument`);
  if (file.kind === 'port' && /(?<![.\w$])export\s+(const|let|var|function|async|class|enum)\b/.test(code)) {
    say('port-types-only', 'a port exports types only');
  }
  return found;
}

const said = (table: typeof IMPURE, code: string): Set<string> =>
  new Set(table.filter(([pattern]) => pattern.test(code)).map(([, what]) => what));

/** An import of Node or a package. */
function judgeForeign(file: File, taken: Import): Violation[] {
  const { specifier } = taken;
  const found: Violation[] = [];
  const say = (rule: Rule, detail: string): void => void found.push({ rule, file: file.path, detail });
  const owners = TECHNOLOGIES.find(([module]) => module.test(specifier))?.[1];
  if (owners === undefined) say('technology', `${specifier} belongs to nobody: give it an adapter in the table`);
  else if (!owners.test(file.path)) say('technology', `${specifier} is imported by its adapter only`);
  if (taken.typeOnly) return found;
  if (file.kind === 'port') say('port-types-only', `${specifier}: a port imports types only`);
  if (file.kind !== 'pure') return found;
  if (!specifier.startsWith('node:')) {
    if (!PURE_PACKAGES.some((pattern) => pattern.test(specifier))) say('pure-imports', `${specifier} in a pure file`);
    return found;
  }
  const allowed = PURE_NODE[specifier] ?? [];
  const names = taken.names.length > 0 ? taken.names : ['(everything)'];
  for (const name of names) if (!allowed.includes(name)) say('pure-node', `${name} of ${specifier} in a pure file`);
  return found;
}

/** An import of another of our files. */
function judgeEdge({ from, to, taken }: Edge): Violation[] {
  const found: Violation[] = [];
  const say = (rule: Rule, why: string): void => void found.push({ rule, file: from.path, detail: `${to.path}: ${why}` });
  const inside = from.folder === to.folder;
  const stage = STAGES[from.folder];
  if (from.kind === 'port' && !taken.typeOnly) say('port-types-only', 'a port imports types only');
  if (from.kind === 'pure' && to.kind !== 'pure' && !(taken.typeOnly && to.kind !== 'adapter')) {
    say('pure-imports', `a pure file imports pure files, and types of others that are no adapters`);
  }
  if (stage === undefined && from.folder !== '.') say('stage', `${from.folder}/ is not in the table of stages`);
  if (stage !== undefined && !inside && to.folder !== '.' && !stage.includes(to.folder))
    say('stage', `${from.folder}/ does not look at ${to.folder}/`);
  if (!inside && from.kind !== 'root' && PORT_ONLY.includes(to.folder) && to.kind !== 'port' && to.kind !== 'pure') {
    say('port-only', `others see ports and pure files of ${to.folder}/`);
  }
  if (to.kind === 'adapter' && from.kind !== 'root' && !sameTechnology(from, to))
    say('adapter', 'adapters are wired in composition roots only');
  if (to.kind === 'root' && from.kind !== 'root') say('root', 'nothing imports a composition root');
  if (taken.names.includes('default')) say('default-import', 'named exports only');
  return found;
}

/** Two adapters of one technology: `smtp-server-listener.ts` and `smtp-server-parser.ts`. */
const sameTechnology = (from: File, to: File): boolean =>
  from.kind === 'adapter' &&
  TECHNOLOGIES.some(([, owners]) => owners.test(from.path) && owners.test(to.path) && !owners.test('any.ts'));

/** Circles of imports, types included; each is told once. */
function cycles(edges: readonly Edge[]): Violation[] {
  const next = Map.groupBy(edges, (edge) => edge.from.path);
  const state = new Map<string, 'open' | 'done'>();
  const path: string[] = [];
  const found: Violation[] = [];
  const visit = (file: string): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      const circle = [...path.slice(path.indexOf(file)), file];
      found.push({ rule: 'cycle', file, detail: circle.join(' → ') });
      return;
    }
    state.set(file, 'open');
    path.push(file);
    for (const edge of next.get(file) ?? []) visit(edge.to.path);
    path.pop();
    state.set(file, 'done');
  };
  for (const file of next.keys()) visit(file);
  return found;
}
