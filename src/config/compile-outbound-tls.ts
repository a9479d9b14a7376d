/**
 * Checks on how safely mail goes: demands that contradict each other, keys that mean nothing in a mode. Pure.
 */
import { parseNextHop } from './next-hop-format.ts';
import { type Draft, errorAt, errorAtKey, field, type Item, type Tree, texts } from './tree.ts';

/** Keys of a connector's `tls` that only one mode reads. */
const ONLY_VERIFY = ['names', 'pins'];
/** What a connector that never speaks TLS cannot have. */
const NEEDS_TLS = ['ladder', 'names', 'pins', 'ca', 'clientCertificate', 'dane', 'mtaSts', 'exception'];

/** A smarthost that is named by its address only has no name a certificate could be checked for. */
function checkVerify({ path, value }: Item): readonly Draft[] {
  const nameless = texts(value, 'route', 'hosts').some((text) => {
    const hop = parseNextHop(text);
    return hop.ok && hop.value.kind === 'address';
  });
  const demands = ONLY_VERIFY.some((key) => field(value, 'tls', key) !== undefined);
  return nameless && !demands
    ? [errorAt([...path, 'tls', 'mode'], 'verify needs names or pins here, since a host of the route is an address')]
    : [];
}

function checkException({ path, value }: Item): readonly Draft[] {
  const off = ['dane', 'mtaSts'].filter((key) => field(value, 'tls', key) === 'off');
  const exception = field(value, 'tls', 'exception');
  const [first] = off;
  if (first !== undefined && exception === undefined) {
    return [errorAtKey([...path, 'tls', first], 'off wants an exception: { reason: why, until: 2026-12-31 } beside it')];
  }
  if (first === undefined && exception !== undefined)
    return [errorAtKey([...path, 'tls', 'exception'], 'means nothing without dane: off or mtaSts: off')];
  return [];
}

/** Everything wrong with one connector's demands. */
export function checkConnectorTls(item: Item, tree: Tree): readonly Draft[] {
  const { path, value } = item;
  const mode = field(value, 'tls', 'mode') ?? 'opportunistic';
  const present = (keys: readonly string[]): readonly string[] => keys.filter((key) => field(value, 'tls', key) !== undefined);
  if (mode === 'plaintext') {
    return [
      ...present(NEEDS_TLS).map((key) =>
        errorAtKey([...path, 'tls', key], 'means nothing in mode plaintext, which never speaks TLS'),
      ),
      ...(field(value, 'route', 'auth') === undefined
        ? []
        : [errorAtKey([...path, 'route', 'auth'], 'needs TLS; credentials are never sent in mode plaintext')]),
      ...(field(value, 'route', 'tls') === 'implicit'
        ? [errorAtKey([...path, 'route', 'tls'], 'implicit contradicts mode plaintext')]
        : []),
    ];
  }
  const off = mode === 'dane' && (field(tree.root, 'tls', 'dane') === 'off' || field(value, 'tls', 'dane') === 'off');
  return [
    ...(mode === 'verify'
      ? checkVerify(item)
      : present(ONLY_VERIFY).map((key) => errorAtKey([...path, 'tls', key], 'is read in mode: verify only'))),
    ...(off ? [errorAt([...path, 'tls', 'mode'], 'dane demands what dane: off switches off')] : []),
    ...(mode === 'dane' && field(tree.root, 'resolver', 'dnssec') === 'off'
      ? [errorAt([...path, 'tls', 'mode'], 'dane needs DNSSEC, which resolver.dnssec: off switches off')]
      : []),
    ...checkException(item),
  ];
}
