/**
 * What may be demanded of clients' TLS and logins, one thing changed at a time.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { checkInboundTls } from '../../src/config/compile-inbound-tls.ts';
import { formatPath } from '../../src/config/path-format.ts';

type Given = { readonly listener?: object; readonly connector?: object; readonly users?: readonly object[] };

function complaints({ listener = {}, connector = {}, users = [] }: Given): readonly string[] {
  const root = { listeners: [listener], inbound: [connector], users };
  return checkInboundTls({ root, places: new Map() }).map(({ path, severity }) => `${severity} ${formatPath(path)}`);
}

const rows: readonly (readonly [what: string, given: Given, want: readonly string[]])[] = [
  ['nothing said', {}, []],
  ['a certificate required', { connector: { require: { certificates: ['a.example'] } } }, []],
  ['the same and tls', { connector: { require: { tls: true, certificates: ['a.example'] } } }, []],
  [
    'the same without tls',
    { connector: { require: { tls: false, certificates: ['a.example'] } } },
    ['error inbound[0].require.tls'],
  ],
  [
    'serverAuth certificates refused, and none looked at',
    { connector: { acceptServerAuthOnly: false, match: { senderDomains: ['a.example'] } } },
    ['error inbound[0].acceptServerAuthOnly'],
  ],
  ['the default said aloud', { connector: { acceptServerAuthOnly: true } }, []],
  ['the same with one', { connector: { acceptServerAuthOnly: false, match: { certificates: ['a.example'] } } }, []],
  [
    'TLS required where there is none',
    { listener: { tls: 'off' }, connector: { require: { tls: true } } },
    ['error inbound[0].require.tls'],
  ],
  [
    'certificates matched and required where there is none',
    {
      listener: { tls: 'off' },
      connector: { match: { certificates: ['a.example'] }, require: { certificates: ['a.example'] } },
    },
    ['error inbound[0].match.certificates', 'error inbound[0].require.certificates'],
  ],
  [
    'TLS required where there is none, by a connector that is not there',
    { listener: { tls: 'off' }, connector: { enabled: false, require: { tls: true } } },
    [],
  ],
  ['login without users', { listener: { auth: 'required' } }, ['error listeners[0].auth']],
  ['login perhaps, without users', { listener: { auth: 'optional' } }, ['warning listeners[0].auth']],
  ['login with users', { listener: { auth: 'required' }, users: [{}] }, []],
  ['login off with users', { listener: { auth: 'off' }, users: [{}] }, ['warning users']],
  ['users and nothing said', { users: [{}] }, ['warning users']],
  ['login where tls is off', { listener: { auth: 'optional', tls: 'off' }, users: [{}] }, ['error listeners[0].auth']],
];
for (const [what, given, want] of rows) {
  test(`${what}: ${want.join(', ') || 'fine'}`, () => assert.deepEqual(complaints(given), want));
}

test('one listener that speaks TLS is enough for a connector', () => {
  const root = { listeners: [{ tls: 'off' }, {}], inbound: [{ require: { tls: true } }] };
  assert.deepEqual(checkInboundTls({ root, places: new Map() }), []);
});
