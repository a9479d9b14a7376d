/**
 * From the text of a configuration to a `Config`, or everything that is wrong with it at once. Pure: what must be taken
 * from outside comes in as an argument.
 */
import { err, isNonEmpty, type NonEmpty, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import { buildConfig, checkMachine, type Machine } from './compile-build.ts';
import { checkInbound } from './compile-inbound.ts';
import { checkAcross } from './compile-names.ts';
import { checkOutbound, checkResolver } from './compile-outbound.ts';
import { checkReports } from './compile-reports.ts';
import { type ReadDocument, readDocument } from './document-format.ts';
import type { ConfigIssue } from './issue-format.ts';
import { checkSupported } from './not-supported-table.ts';
import { formatPath, type Path } from './path-format.ts';
import { configSchema } from './schema.ts';
import { draftsOf } from './schema-issue-format.ts';
import { wantsAt } from './schema-keys.ts';
import type { Lookups } from './substitution-format.ts';
import { type Draft, errorAt, isRecord, type Place, type Tree } from './tree.ts';

/** The text of a configuration. */
export type ConfigSource = {
  readonly text: string;
  /** What issues call the file. */
  readonly file: string;
};

/** What a configuration may depend on besides its own text. */
export type Surroundings = Lookups & { readonly machine: Machine };

/** A configuration that holds, and what there is to say about it. */
export type Compiled = {
  readonly config: Config;
  readonly warnings: readonly ConfigIssue[];
  /** A problem that was found later, by looking at what the configuration names, as an issue at the value of a path. */
  issueAt(path: Path, message: string): ConfigIssue;
};

/** Compiles a configuration. Never throws; the issues of a refused one include its warnings, in the order of the document. */
export function compile(source: ConfigSource, surroundings: Surroundings): Result<Compiled, NonEmpty<ConfigIssue>> {
  const document = readDocument(source.text, { lookups: surroundings, wants: wantsAt });
  const issueOf = (draft: Draft): ConfigIssue => locate(draft, document, source.file);
  const syntax = document.syntax.map(({ offset, message }): ConfigIssue => {
    return { severity: 'error', file: source.file, ...document.position(offset), path: '', message };
  });
  if (isNonEmpty(syntax)) return err(syntax);
  const { tree } = document;
  if (!isRecord(tree.root)) return err([issueOf(errorAt([], notAMap(tree.root)))]);

  const parsed = configSchema.safeParse(tree.root, { reportInput: true });
  const refused = parsed.success ? [] : parsed.error.issues.flatMap((issue) => draftsOf(issue, tree));
  const unsupported = unlessSaid(checkSupported(tree.root), refused);
  const drafts = [
    ...document.drafts,
    ...refused,
    ...unsupported,
    ...unlessSaid(checkMeaning(tree, surroundings.machine), [...refused, ...unsupported]),
  ];
  const issues = inOrder(drafts.map(issueOf));
  const failed = !parsed.success || issues.some(({ severity }) => severity === 'error');
  if (failed && isNonEmpty(issues)) return err(issues);
  if (!parsed.success) throw new Error('the schema refused the document without saying why');
  const config = buildConfig(parsed.data, surroundings);
  return ok({ config, warnings: issues, issueAt: (path, message) => issueOf(errorAt(path, message)) });
}

const notAMap = (root: unknown): string =>
  root === null || root === undefined ? 'the file is empty; at least listeners must be there' : 'the file is not a map of keys';

/** What the schema cannot see, because it lies between keys. */
function checkMeaning(tree: Tree, machine: Machine): readonly Draft[] {
  return [
    ...checkMachine(tree, machine),
    ...checkAcross(tree),
    ...checkInbound(tree),
    ...checkOutbound(tree),
    ...checkResolver(tree),
    ...checkReports(tree),
  ];
}

/** Those whose place has not been complained about already. */
function unlessSaid(drafts: readonly Draft[], said: readonly Draft[]): readonly Draft[] {
  const paths = new Set(said.map(({ path }) => formatPath(path)));
  return drafts.filter(({ path }) => !paths.has(formatPath(path)));
}

/** The draft as an issue; where nothing stands at its path, the nearest thing around it is pointed at. */
function locate(draft: Draft, document: ReadDocument, file: string): ConfigIssue {
  const place = placeOf(draft.path, document.tree);
  const own = document.tree.places.has(formatPath(draft.path));
  const offset = draft.at === 'key' || !own ? (place?.key ?? place?.value) : place?.value;
  const { severity, message, path, shownAs } = draft;
  return { severity, file, ...document.position(offset ?? 0), path: formatPath(shownAs ?? path), message };
}

function placeOf(path: Path, tree: Tree): Place | undefined {
  const found = tree.places.get(formatPath(path));
  return found !== undefined || path.length === 0 ? found : placeOf(path.slice(0, -1), tree);
}

function inOrder(issues: readonly ConfigIssue[]): readonly ConfigIssue[] {
  return issues.toSorted((left, right) => left.line - right.line || left.column - right.column);
}
