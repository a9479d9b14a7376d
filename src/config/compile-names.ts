/**
 * Checks across the document: nothing is named twice, every reference leads somewhere, no address is used twice. Pure.
 */
import { parseEndpoint } from './address-format.ts';
import { DEFAULT_CONNECTOR } from './compile-outbound.ts';
import type { Path } from './path-format.ts';
import { nearest } from './suggestion.ts';
import { type Draft, errorAt, field, isRecord, isReplaced, items, shownAt, type Tree, warningAt } from './tree.ts';

/** A text that must be the only one of its kind. */
type Claimed = { readonly path: Path; readonly text: string };

function repeated(claims: readonly Claimed[], say: (first: Path) => string): readonly Draft[] {
  const first = new Map<string, Path>();
  return claims.flatMap(({ path, text }) => {
    const earlier = first.get(text);
    if (earlier !== undefined) return [errorAt(path, say(earlier))];
    first.set(text, path);
    return [];
  });
}

function claimed(tree: Tree, list: string): readonly Claimed[] {
  return items(tree.root, list).flatMap(({ path, value }) => {
    const name = field(value, 'name');
    return typeof name === 'string' ? [{ path: [...path, 'name'], text: name }] : [];
  });
}

function checkNames(tree: Tree): readonly Draft[] {
  return ['listeners', 'inbound', 'users', 'outbound'].flatMap((list) =>
    repeated(
      claimed(tree, list),
      (first) => `${shownAt(tree, first)} is the name of ${list}[${String(first[1])}], too; names are unique`,
    ),
  );
}

function checkAddresses(tree: Tree): readonly Draft[] {
  const paths: readonly Path[] = [...items(tree.root, 'listeners').map(({ path }) => [...path, 'address']), ['admin', 'address']];
  const claims = paths.flatMap((path) => {
    const text = field(tree.root, ...path);
    const endpoint = typeof text === 'string' ? parseEndpoint(text) : null;
    return endpoint?.ok === true ? [{ path, text: JSON.stringify(endpoint.value) }] : [];
  });
  return repeated(
    claims,
    (first) => `is the address of ${String(first[0])}${first[0] === 'admin' ? '' : `[${String(first[1])}]`}, too`,
  );
}

function checkReferences(tree: Tree): readonly Draft[] {
  const known = claimed(tree, 'inbound');
  return items(tree.root, 'outbound').flatMap((connector) =>
    items(tree.root, ...connector.path, 'match', 'inboundConnector').flatMap(({ path, value }) => {
      if (typeof value !== 'string') return [];
      const target = known.find(({ text }) => text === value);
      if (target === undefined)
        return [errorAt(path, `${shownAt(tree, path)} is no inbound connector${advise(tree, path, known)}`)];
      const disabled = field(tree.root, ...target.path.slice(0, -1), 'enabled') === false;
      return disabled ? [warningAt(path, `${shownAt(tree, path)} is disabled: no mail comes through it`)] : [];
    }),
  );
}

/** Policy tests name outbound connectors, the implicit one included, and test something. */
function checkExpectations(tree: Tree): readonly Draft[] {
  const known = claimed(tree, 'outbound');
  return items(tree.root, 'expect').flatMap(({ path, value }) => {
    const name = field(value, 'connector');
    const at = [...path, 'connector'];
    const lost = typeof name === 'string' && name !== DEFAULT_CONNECTOR && !known.some(({ text }) => text === name);
    const idle = isRecord(value) && ['connector', 'tls', 'plaintext'].every((key) => field(value, key) === undefined);
    return [
      ...(lost ? [errorAt(at, `${shownAt(tree, at)} is no outbound connector${advise(tree, at, known)}`)] : []),
      ...(idle ? [errorAt(path, 'expects nothing; say which connector, tls or plaintext it should be')] : []),
    ];
  });
}

function advise(tree: Tree, path: Path, known: readonly Claimed[]): string {
  const value = field(tree.root, ...path);
  const open = known.filter((claim) => !isReplaced(tree, claim.path));
  const near =
    typeof value === 'string' && !isReplaced(tree, path)
      ? nearest(
          value,
          open.map(({ text }) => text),
        )
      : null;
  if (near !== null) return `; did you mean ${near}?`;
  return open.length === 0
    ? ''
    : `; there are ${open
        .slice(0, 10)
        .map(({ text }) => text)
        .join(', ')}`;
}

/** Every name, address and reference that does not hold. */
export const checkAcross = (tree: Tree): readonly Draft[] => [
  ...checkNames(tree),
  ...checkAddresses(tree),
  ...checkReferences(tree),
  ...checkExpectations(tree),
];
