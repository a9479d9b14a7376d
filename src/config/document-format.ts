/**
 * YAML 1.2 to a plain tree with places, everything that is wrong with it at once. The only importer of the yaml library.
 * Bounded: text size, nesting, aliases and nodes, so that no document can stall or fill the process.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type Scalar,
} from 'yaml';
import { formatPath, type Path } from './path-format.ts';
import { hasPlaceholder, type Lookups, substitute } from './substitution-format.ts';
import { type Draft, errorAt, errorAtKey, type Place, type Tree } from './tree.ts';

/** The largest document read, in UTF-16 units. */
export const LARGEST_DOCUMENT = 1_048_576;
const MOST_ALIASES = 100;
const MOST_NODES = 200_000;
const DEEPEST = 32;
/** One mistake in the syntax makes many; those after the first few tell nothing. */
const MOST_SYNTAX_PROBLEMS = 20;

/** A problem at an offset of the text, for what has no path. */
export type SyntaxProblem = { readonly offset: number; readonly message: string };

/** What a document came to. With syntax problems the tree is not worth looking at. */
export type ReadDocument = {
  readonly tree: Tree;
  readonly syntax: readonly SyntaxProblem[];
  readonly drafts: readonly Draft[];
  /** Line and column, both from 1, of an offset. */
  position(offset: number): { readonly line: number; readonly column: number };
};

/** How texts become values: what to put in, and whether a number or a boolean is wanted at a path. */
export type Reading = { readonly lookups: Lookups; wants(path: Path): 'number' | 'boolean' | 'other' };

const EMPTY: Tree = { root: undefined, places: new Map() };

/** Reads the document. Never throws. */
export function readDocument(text: string, reading: Reading): ReadDocument {
  const lines = new LineCounter();
  const position = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const fail = (syntax: readonly SyntaxProblem[]): ReadDocument => ({ tree: EMPTY, syntax, drafts: [], position });
  if (text.length > LARGEST_DOCUMENT) return fail([{ offset: 0, message: 'the file is larger than 1 MiB' }]);
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;
  const document = parse(source, lines);
  if (document === null) return fail([{ offset: 0, message: TOO_DEEP }]);
  const syntax = syntaxProblems(document, source);
  if (syntax.length > 0) return fail(syntax);
  const walk = new Walk(document, reading);
  const root = walk.node(document.contents, [], null);
  return { tree: { root, places: walk.places }, syntax: [], drafts: walk.drafts, position };
}

/** Null where the library's own recursion found no end. */
function parse(source: string, lineCounter: LineCounter): Document | null {
  try {
    // Keys are compared here, not there: the library compares every pair of them.
    return parseDocument(source, { lineCounter, prettyErrors: false, strict: true, uniqueKeys: false, logLevel: 'error' });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function syntaxProblems(document: Document, source: string): readonly SyntaxProblem[] {
  const version = document.directives?.yaml;
  const directive =
    version?.explicit === true && version.version !== '1.2'
      ? [{ offset: 0, message: 'only YAML 1.2 is read; remove the %YAML line' }]
      : [];
  const found = [...document.errors, ...document.warnings].slice(0, MOST_SYNTAX_PROBLEMS).map(({ code, message, pos }) => ({
    offset: pos[0],
    message: explainSyntax(code, message, lineAround(source, pos[0])),
  }));
  return [...directive, ...found.filter((problem, index) => problem.message !== found[index - 1]?.message)];
}

function lineAround(source: string, offset: number): string {
  const end = source.indexOf('\n', offset);
  return source.slice(source.lastIndexOf('\n', offset - 1) + 1, end === -1 ? undefined : end);
}

const TOO_DEEP = 'the document is nested too deeply';
const QUOTE_STAR = 'a text that starts with * must be in quotes, like "*" or "*.example.org"';

/** The library quotes what it stumbled over behind a colon or a backslash; that may be a password, and the place says it, too. */
const withoutSource = (message: string): string => (message.split('\n')[0] ?? '').replace(/(?<! ): .*$| ?\\.*$/, '');

/** The library's words, or better ones where the cause is known to be a text that lacks its quotes. */
function explainSyntax(code: string, message: string, line: string): string {
  if (code === 'BAD_ALIAS') return QUOTE_STAR;
  if (code === 'MULTIPLE_DOCS') return 'the file holds more than one document; remove the --- line';
  if (code === 'TAG_RESOLVE_FAILED') return 'tags have no meaning here; a text that starts with ! must be in quotes';
  if (code === 'TAB_AS_INDENT') return 'a tab cannot indent; use spaces';
  if (/[[{].*[^"'\w]\$\{/.test(line)) return `a \${…} inside { } or [ ] must be in quotes, like "\${NAME}"`;
  if (/[\s:,-]\[[0-9a-f:.]*:[0-9a-f:.]*\]/i.test(line)) return 'an IPv6 address in brackets must be in quotes, like "[::]:25"';
  if (message.startsWith('Maximum call stack')) return TOO_DEEP;
  return `not valid YAML: ${withoutSource(message)}`;
}

/** One pass over the nodes; collects places and problems. Lives for one document. */
class Walk {
  readonly places = new Map<string, Place>();
  readonly drafts: Draft[] = [];
  private aliases = 0;
  private nodes = 0;
  private readonly document: Document;
  private readonly reading: Reading;

  constructor(document: Document, reading: Reading) {
    this.document = document;
    this.reading = reading;
  }

  /** The node as plain data. `key` is the offset of the key it belongs to. */
  node(node: unknown, path: Path, key: number | null): unknown {
    const start = isNode(node) ? (node.range?.[0] ?? 0) : (key ?? 0);
    this.places.set(formatPath(path), { key, value: start, replaced: null });
    this.nodes += 1;
    if (this.nodes > MOST_NODES) return this.tooMuch(path, 'the document has too many values');
    if (path.length > DEEPEST) return this.tooMuch(path, `is nested more than ${DEEPEST} levels deep`);
    if (isAlias(node)) return this.alias(node, path, key);
    if (isMap(node)) return this.map(node.items, path);
    if (isSeq(node)) return node.items.map((item, index) => this.node(item, [...path, index], null));
    return isScalar(node) ? this.scalar(node, path, key) : null;
  }

  /** Says a thing about the whole document once, however often it happens. */
  private tooMuch(path: Path, message: string): typeof UNKNOWN {
    if (!this.drafts.some((draft) => draft.message === message)) this.drafts.push(errorAt(path, message));
    return UNKNOWN;
  }

  private alias(alias: Alias, path: Path, key: number | null): unknown {
    this.aliases += 1;
    if (this.aliases > MOST_ALIASES) return this.tooMuch(path, `the document uses more than ${MOST_ALIASES} YAML aliases`);
    const target = alias.resolve(this.document);
    if (target !== undefined) return this.node(target, path, key);
    this.drafts.push(errorAt(path, `is a YAML alias of nothing; ${QUOTE_STAR}`));
    return UNKNOWN;
  }

  private map(pairs: readonly Pair[], path: Path): unknown {
    const entries = new Map<string, unknown>();
    for (const pair of pairs) {
      const offset = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
      if (!isScalar(pair.key)) {
        this.drafts.push(errorAt(path, 'has a key that is no plain text'));
        continue;
      }
      const name = String(pair.key.value);
      const inner = [...path, name];
      // An ordinary key to YAML, but not to every reader of an object behind this one.
      if (name === '__proto__') this.drafts.push(errorAt(path, 'has the unknown key "__proto__"'));
      else if (entries.has(name)) this.repeated(inner, offset);
      else entries.set(name, this.node(pair.value, inner, offset));
    }
    return Object.fromEntries(entries);
  }

  /** Registers the second use under a path of its own, since the first keeps its place. */
  private repeated(path: Path, offset: number): void {
    const again = [...path, 'again', this.drafts.length];
    this.places.set(formatPath(again), { key: offset, value: offset, replaced: null });
    this.drafts.push({ ...errorAtKey(again, 'is given twice; keep one of them'), shownAs: path });
  }

  private scalar(scalar: Scalar, path: Path, key: number | null): unknown {
    const text = scalar.value;
    if (typeof text !== 'string' || !hasPlaceholder(text)) return text;
    const result = substitute(text, this.reading.lookups);
    if (!result.ok) {
      for (const problem of result.error) this.drafts.push(errorAt(path, problem));
      return UNKNOWN;
    }
    this.places.set(formatPath(path), { key, value: scalar.range?.[0] ?? 0, replaced: text });
    return convert(result.value, this.reading.wants(path));
  }
}

/** Stands for a value that could not be had; what is wrong with it has been said. */
export const UNKNOWN = Symbol('unknown');

/** What is put in may be a number or a boolean where one is wanted, quotes or not: inside { } there must be quotes. */
function convert(text: string, wanted: 'number' | 'boolean' | 'other'): unknown {
  if (wanted === 'number' && /^\d{1,15}$/.test(text)) return Number(text);
  if (wanted === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}
