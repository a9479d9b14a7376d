/**
 * Checks on where mail goes: keys that belong to another kind of route, ladders that are not one, connectors that never match. Pure.
 */

import type { DomainPattern } from '../domain/connector.ts';
import { RUNGS } from '../domain/tls.ts';
import { checkConnectorTls } from './compile-outbound-tls.ts';
import type { Path } from './path-format.ts';
import { coverOf, covers } from './pattern-format.ts';
import type { OutboundDocument } from './schema.ts';
import { outboundConnectorSchema } from './schema-outbound.ts';
import { MOST_CONNECTORS } from './schema-values.ts';
import { type Draft, errorAt, errorAtKey, field, type Item, items, shownAt, type Tree, texts, warningAt } from './tree.ts';

/** The implicit last connector. */
export const DEFAULT_CONNECTOR = 'default';

/** Which kind of route each key of it belongs to. */
const KEY_OF_KIND: Readonly<Record<string, string>> = {
  hosts: 'smarthost',
  balance: 'smarthost',
  tls: 'smarthost',
  auth: 'smarthost',
  text: 'reject',
};
/** What a connector that delivers nothing cannot have. */
const DELIVERY_KEYS = ['tls', 'limits', 'source', 'retry'];

function checkRoute({ path, value }: Item): readonly Draft[] {
  const kind = field(value, 'route', 'kind');
  const misplaced = Object.entries(KEY_OF_KIND)
    .filter(([key, owner]) => typeof kind === 'string' && kind !== owner && field(value, 'route', key) !== undefined)
    .map(([key, owner]) => errorAtKey([...path, 'route', key], `belongs to kind: ${owner}`));
  const homeless = kind === 'smarthost' && field(value, 'route', 'hosts') === undefined;
  const idle = DELIVERY_KEYS.filter((key) => kind === 'reject' && field(value, key) !== undefined);
  return [
    ...misplaced,
    ...(homeless ? [errorAt([...path, 'route'], 'kind: smarthost needs hosts, like ["smtp.example:25"]')] : []),
    ...idle.map((key) => errorAtKey([...path, key], 'means nothing where the route is reject')),
  ];
}

const RUNG_NAMES: readonly string[] = RUNGS;

/** Strongest first, none twice, none that is not in the whole. */
function checkLadder(value: unknown, path: Path, whole: readonly string[]): readonly Draft[] {
  const rungs = texts(value, ...path);
  const strength = rungs.map((rung) => RUNG_NAMES.indexOf(rung));
  if (rungs.includes('plaintext')) return [];
  const sorted = strength.every((rung, index) => index === 0 || rung > (strength[index - 1] ?? 0));
  const extra = rungs.filter((rung, index) => whole.length > 0 && (strength[index] ?? -1) >= 0 && !whole.includes(rung));
  return [
    ...(sorted || strength.includes(-1)
      ? []
      : [errorAt(path, `must go from strong to weak, each rung once, like [${inOrder(rungs)}]`)]),
    ...(extra.length === 0 ? [] : [errorAt(path, `may only narrow tls.ladder, which has no ${extra.join(' and no ')}`)]),
  ];
}

const inOrder = (rungs: readonly string[]): string => RUNGS.filter((rung) => rungs.includes(rung)).join(', ');

const checkTls = (item: Item, tree: Tree): readonly Draft[] => [
  ...checkConnectorTls(item, tree),
  ...checkLadder(tree.root, [...item.path, 'tls', 'ladder'], texts(tree.root, 'tls', 'ladder')),
];

function checkName({ path, value }: Item): readonly Draft[] {
  const reserved = field(value, 'name') === DEFAULT_CONNECTOR;
  const message = `"${DEFAULT_CONNECTOR}" is the name of the connector that follows the last one of its own accord; choose another`;
  return reserved ? [errorAt([...path, 'name'], message)] : [];
}

type Parsed = {
  readonly path: Path;
  readonly match: OutboundDocument['match'];
  /** Whether it takes all recipients of a pattern. */
  readonly takes: (pattern: DomainPattern) => boolean;
};

/** True where mail that `later` matches by sender and origin is matched by `earlier`, too. */
function coversOrigin(earlier: OutboundDocument['match'], later: OutboundDocument['match']): boolean {
  const senders = earlier.senderDomains;
  const sender = senders === undefined || later.senderDomains?.every((narrow) => senders.some((wide) => covers(wide, narrow)));
  const origins = earlier.inboundConnector;
  const origin = origins === undefined || later.inboundConnector?.every((name) => origins.includes(name));
  return sender === true && origin === true;
}

const EVERY_DOMAIN: readonly DomainPattern[] = [{ kind: 'any' }];
const recipients = (match: OutboundDocument['match']): readonly DomainPattern[] => match.recipientDomains ?? EVERY_DOMAIN;

/** Connectors whose every recipient domain is taken by ones above, for mail of any sender and origin that they match. */
function checkCoverage(tree: Tree): readonly Draft[] {
  const enabled = items(tree.root, 'outbound')
    .slice(0, MOST_CONNECTORS)
    .flatMap(({ path, value }): readonly Parsed[] => {
      const parsed = outboundConnectorSchema.safeParse(value);
      if (!parsed.success || !parsed.data.enabled) return [];
      return [{ path, match: parsed.data.match, takes: coverOf(recipients(parsed.data.match)) }];
    });
  return enabled.flatMap((later, index) => {
    const above = enabled.slice(0, index).filter((earlier) => coversOrigin(earlier.match, later.match));
    const takers = recipients(later.match).map((pattern) => above.find((earlier) => earlier.takes(pattern)));
    if (takers.some((taker) => taker === undefined)) return [];
    const names = [...new Set(takers.flatMap((taker) => (taker === undefined ? [] : [shownAt(tree, [...taker.path, 'name'])])))];
    return [warningAt(later.path, `can never match: all it is for is taken by ${names.join(' and ')} above it`)];
  });
}

/** Everything wrong with where mail goes. */
export function checkOutbound(tree: Tree): readonly Draft[] {
  return [
    ...checkLadder(tree.root, ['tls', 'ladder'], []),
    ...items(tree.root, 'outbound').flatMap((item) => [...checkName(item), ...checkRoute(item), ...checkTls(item, tree)]),
    ...checkCoverage(tree),
  ];
}

/** Trusting a resolver's word needs knowing which resolver. */
export function checkResolver(tree: Tree): readonly Draft[] {
  const blind = field(tree.root, 'resolver', 'dnssec') === 'trust' && items(tree.root, 'resolver', 'servers').length === 0;
  return blind ? [errorAt(['resolver', 'dnssec'], 'trust is for servers named under resolver.servers, and there are none')] : [];
}
