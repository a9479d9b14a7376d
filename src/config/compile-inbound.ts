/**
 * Checks on who may hand us mail: nothing here may make an open relay, and nothing may demand what cannot be. Pure.
 */
import type { DomainPattern } from '../domain/connector.ts';
import { isLoopback, parseEndpoint, parseRange, type Span, spanOf, spansMeet } from './address-format.ts';
import { checkInboundTls } from './compile-inbound-tls.ts';
import type { Path } from './path-format.ts';
import { covers, parseDomainPattern } from './pattern-format.ts';
import { MOST_CONNECTORS } from './schema-values.ts';
import { type Draft, errorAt, errorAtKey, field, type Item, items, shownAt, type Tree, texts, warningAt } from './tree.ts';

const ranges = (value: unknown, ...path: Path): readonly Span[] =>
  texts(value, ...path).flatMap((text) => {
    const range = parseRange(text);
    return range.ok ? [spanOf(range.value)] : [];
  });

const patterns = (value: unknown, ...path: Path): readonly DomainPattern[] =>
  texts(value, ...path).flatMap((text) => {
    const pattern = parseDomainPattern(text);
    return pattern.ok ? [pattern.value] : [];
  });

const MATCHES = ['senderDomains', 'addresses', 'certificates'];

function checkMatch({ path, value }: Item): readonly Draft[] {
  const match = field(value, 'match');
  const given = MATCHES.filter((key) => field(match, key) !== undefined);
  const at = match === undefined ? path : [...path, 'match'];
  if (given.length === 0) return [errorAt(at, 'matches nothing; name senderDomains, addresses or certificates under match')];
  if (field(value, 'type') !== 'organization') return [];
  if (given.length === 1 && given[0] === 'senderDomains') {
    return [
      errorAt(
        at,
        'would be an open relay, since anyone can claim a sender domain; an organization needs match.addresses or match.certificates',
      ),
    ];
  }
  return openRanges(value, path);
}

/** A network that takes in everyone makes an organization of everyone. */
function openRanges(value: unknown, path: Path): readonly Draft[] {
  return items(value, 'match', 'addresses').flatMap((item) => {
    const range = typeof item.value === 'string' ? parseRange(item.value) : null;
    return range?.ok === true && range.value.prefix === 0
      ? [errorAt([...path, ...item.path], 'would be an open relay: every address lies in this network')]
      : [];
  });
}

const disjoint = (left: readonly Span[], right: readonly Span[]): boolean =>
  left.length > 0 && right.length > 0 && !left.some((one) => right.some((other) => spansMeet(one, other)));

function checkRequire({ path, value }: Item): readonly Draft[] {
  const onlyByAddress =
    field(value, 'match', 'senderDomains') === undefined && field(value, 'match', 'certificates') === undefined;
  const impossible = onlyByAddress && disjoint(ranges(value, 'match', 'addresses'), ranges(value, 'require', 'addresses'));
  return impossible ? [errorAt([...path, 'require', 'addresses'], 'can never hold: none of match.addresses lies in it')] : [];
}

/** Two that are about the same sender domain and demand addresses of which none satisfies both. */
function checkContradictions(connectors: readonly Item[], tree: Tree): readonly Draft[] {
  const enabled = connectors
    .slice(0, MOST_CONNECTORS)
    .filter(({ value }) => field(value, 'enabled') !== false)
    .map(({ path, value }) => ({
      path,
      required: ranges(value, 'require', 'addresses'),
      senders: patterns(value, 'match', 'senderDomains'),
    }))
    .filter(({ required, senders }) => required.length > 0 && senders.length > 0);
  return enabled.flatMap((later, index) => {
    const rival = enabled
      .slice(0, index)
      .filter(({ senders }) => senders.some((one) => later.senders.some((other) => covers(one, other) || covers(other, one))))
      .find(({ required }) => disjoint(required, later.required));
    if (rival === undefined) return [];
    const name = shownAt(tree, [...rival.path, 'name']);
    return [
      errorAt(
        [...later.path, 'require', 'addresses'],
        `contradicts connector ${name}, which demands other addresses of the same senders`,
      ),
    ];
  });
}

function checkAccepted(tree: Tree, connectors: readonly Item[]): readonly Draft[] {
  const open = items(tree.root, 'acceptedDomains').filter(({ value }) => value === '*');
  const none = field(tree.root, 'acceptedDomains') === undefined || items(tree.root, 'acceptedDomains').length === 0;
  const deaf =
    none && !connectors.some(({ value }) => field(value, 'type') === 'organization' && field(value, 'enabled') !== false);
  return [
    ...open.map(({ path }) =>
      errorAt(path, 'would be an open relay; name your own domains, and clients that may send anywhere under inbound'),
    ),
    ...(deaf
      ? [warningAt(['acceptedDomains'], 'names no domain, and there is no organization connector: no mail is taken from anyone')]
      : []),
  ];
}

/** The admin server may be reached from elsewhere only with a token. */
function checkAdmin(tree: Tree): readonly Draft[] {
  const address = field(tree.root, 'admin', 'address');
  const endpoint = typeof address === 'string' ? parseEndpoint(address) : null;
  const exposed = endpoint?.ok === true && !isLoopback(endpoint.value.host) && field(tree.root, 'admin', 'token') === undefined;
  return exposed
    ? [errorAt(['admin', 'address'], `${shownAt(tree, ['admin', 'address'])} is not loopback; that needs admin.token`)]
    : [];
}

function checkListener({ path, value }: Item): readonly Draft[] {
  const useless = field(value, 'tls') === 'off' && field(value, 'requireTls') === true;
  return useless ? [errorAtKey([...path, 'requireTls'], 'can never be met: tls is off on this listener')] : [];
}

/** Everything wrong with who may hand us mail, and with who may operate us. */
export function checkInbound(tree: Tree): readonly Draft[] {
  const connectors = items(tree.root, 'inbound');
  return [
    ...items(tree.root, 'listeners').flatMap(checkListener),
    ...connectors.flatMap((connector) => [...checkMatch(connector), ...checkRequire(connector)]),
    ...checkInboundTls(tree),
    ...checkContradictions(connectors, tree),
    ...checkAccepted(tree, connectors),
    ...checkAdmin(tree),
  ];
}
