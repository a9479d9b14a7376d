/**
 * A YAML document as plain data, with the place of everything in it. Reading helpers for checks that look at what was
 * written rather than at what it means. Pure.
 */
import { formatPath, type Path, quoted } from './path-format.ts';

/** Where something stands: offsets into the document's text. */
export type Place = {
  /** Of the key, where there is one. */
  readonly key: number | null;
  readonly value: number;
  /** What the file says instead of the value: set where a `${…}` was replaced, so that messages show that and never a secret. */
  readonly replaced: string | null;
};

/** Something to tell the operator, before file and line are known. */
export type Draft = {
  readonly severity: 'error' | 'warning';
  readonly path: Path;
  /** Whether to point at the key or at the value. */
  readonly at: 'key' | 'value';
  readonly message: string;
  /** The path to print, where it is not the one to point at. */
  readonly shownAs?: Path;
};

/** An error at the value of a path. */
export const errorAt = (path: Path, message: string): Draft => ({ severity: 'error', path, at: 'value', message });
/** An error at the key of a path: the key itself should not be there. */
export const errorAtKey = (path: Path, message: string): Draft => ({ severity: 'error', path, at: 'key', message });
/** A warning at the value of a path. */
export const warningAt = (path: Path, message: string): Draft => ({ severity: 'warning', path, at: 'value', message });

/** The document. `places` is keyed by formatted path. */
export type Tree = { readonly root: unknown; readonly places: ReadonlyMap<string, Place> };

/** True for what YAML calls a map. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What stands at the path below `value`; undefined where nothing does. */
export function field(value: unknown, ...path: Path): unknown {
  return path.reduce<unknown>((inner, step) => {
    if (typeof step === 'number') return Array.isArray(inner) ? inner[step] : undefined;
    return isRecord(inner) && Object.hasOwn(inner, step) ? inner[step] : undefined;
  }, value);
}

/** One element of a list, with its path. */
export type Item = { readonly path: Path; readonly value: unknown };

/** The elements of the list at the path below `value`; none where there is no list. */
export function items(value: unknown, ...path: Path): readonly Item[] {
  const list = field(value, ...path);
  return Array.isArray(list) ? list.map((element: unknown, index) => ({ path: [...path, index], value: element })) : [];
}

/** The strings in the list at the path below `value`. */
export const texts = (value: unknown, ...path: Path): readonly string[] =>
  items(value, ...path).flatMap((item) => (typeof item.value === 'string' ? [item.value] : []));

/** The value as a message shows it. What came from outside the file is shown as the file has it. */
export function shown(value: unknown, replaced: string | null): string {
  if (replaced !== null) return quoted(replaced);
  if (value === null) return 'an empty value';
  if (Array.isArray(value)) return 'a list';
  if (isRecord(value)) return 'a map of keys';
  return typeof value === 'string' ? quoted(value) : String(value);
}

/** What stands at the path, as a message shows it. */
export function shownAt(tree: Tree, path: Path): string {
  return shown(field(tree.root, ...path), tree.places.get(formatPath(path))?.replaced ?? null);
}

/** What was put in for a `${…}` at the path; false where the file itself says it all. */
export const isReplaced = (tree: Tree, path: Path): boolean => (tree.places.get(formatPath(path))?.replaced ?? null) !== null;
