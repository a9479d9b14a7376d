/**
 * Checks on what TLS must prove of those who hand us mail: certificates, and users who log in. Nothing may be demanded that no
 * listener can ask for. Pure.
 */
import { type Draft, errorAt, errorAtKey, field, type Item, items, type Tree, warningAt } from './tree.ts';

const isOn = ({ value }: Item): boolean => field(value, 'enabled') !== false;

/** Where a connector looks at TLS. */
const CERTIFICATES = ['match', 'require'] as const;

function checkConnector({ path, value }: Item): readonly Draft[] {
  const looks = CERTIFICATES.some((where) => field(value, where, 'certificates') !== undefined);
  const contradiction = field(value, 'require', 'certificates') !== undefined && field(value, 'require', 'tls') === false;
  return [
    ...(contradiction
      ? [errorAtKey([...path, 'require', 'tls'], 'contradicts certificates, which are shown inside TLS only')]
      : []),
    ...(field(value, 'acceptServerAuthOnly') === false && !looks
      ? [errorAtKey([...path, 'acceptServerAuthOnly'], 'means nothing here: this connector looks at no certificate')]
      : []),
  ];
}

/** Demands of TLS that cannot be met, because no listener speaks it. */
function checkReachable(connectors: readonly Item[]): readonly Draft[] {
  return connectors
    .filter(isOn)
    .flatMap(({ path, value }) => [
      ...CERTIFICATES.filter((where) => field(value, where, 'certificates') !== undefined).map((where) =>
        errorAtKey([...path, where, 'certificates'], 'can never be shown: tls is off on every listener'),
      ),
      ...(field(value, 'require', 'tls') === true
        ? [errorAtKey([...path, 'require', 'tls'], 'can never be met: tls is off on every listener')]
        : []),
    ]);
}

function checkListener({ path, value }: Item, users: number): readonly Draft[] {
  const auth = field(value, 'auth');
  if (auth !== 'optional' && auth !== 'required') return [];
  const at = [...path, 'auth'];
  if (field(value, 'tls') === 'off')
    return [errorAt(at, 'can never happen: clients log in inside TLS only, and tls is off here')];
  if (users > 0) return [];
  return auth === 'required'
    ? [errorAt(at, 'lets no one in: there are no users')]
    : [warningAt(at, 'is of no use: there are no users')];
}

/** Everything about certificates of clients, and about logging in, that cannot be. */
export function checkInboundTls({ root }: Tree): readonly Draft[] {
  const [listeners, connectors, users] = [items(root, 'listeners'), items(root, 'inbound'), items(root, 'users')];
  const spoken = listeners.length === 0 || listeners.some(({ value }) => field(value, 'tls') !== 'off');
  const idle =
    users.length > 0 && !listeners.some(({ value }) => ['optional', 'required'].includes(String(field(value, 'auth'))));
  return [
    ...connectors.flatMap(checkConnector),
    ...(spoken ? [] : checkReachable(connectors)),
    ...listeners.flatMap((listener) => checkListener(listener, users.length)),
    ...(idle ? [warningAt(['users'], 'cannot log in: no listener has auth: optional or required')] : []),
  ];
}
