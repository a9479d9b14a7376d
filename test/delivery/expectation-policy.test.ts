/**
 * Policy tests of a configuration: every mode and fate, and what is said where one does not hold.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { judgeExpectations } from '../../src/delivery/expectation-policy.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Config, Expectation } from '../../src/domain/config.ts';
import type { OutboundConnector, Route } from '../../src/domain/connector.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';

const TLS = { minVersion: 'TLSv1.2' } as unknown as Config['tls'];
const EVERYTHING: OutboundConnector['match']['recipientDomains'] = [{ kind: 'any' }];

const partner = (change: Partial<OutboundConnector>): OutboundConnector =>
  outboundConnector({
    name: 'partner',
    match: {
      recipientDomains: [{ kind: 'exact', domain: 'partner.test' as Domain }],
      senderDomains: [],
      inboundConnectors: [],
    },
    ...change,
  });
const last = outboundConnector({ name: 'default' });

const expectation = (change: Partial<Expectation>): Expectation => ({
  recipient: { localPart: 'a', domain: 'partner.test' as Domain },
  from: null,
  connector: null,
  tls: null,
  plaintext: null,
  ...change,
});

const broken = (connector: OutboundConnector, change: Partial<Expectation>): readonly string[] =>
  judgeExpectations({ tls: TLS, outbound: [connector, last], expect: [expectation(change)] }).map(
    ({ path, text }) => `${path.join('.')}: ${text}`,
  );

const SMARTHOST: Route = {
  kind: 'smarthost',
  hosts: [{ kind: 'host', name: 'relay.test' as Domain, port: 25 }],
  balance: false,
  tls: 'starttls',
  auth: null,
};

type Fate = Expectation['plaintext'];
const fates: readonly (readonly [what: string, change: Partial<OutboundConnector>, mode: Expectation['tls'], fate: Fate])[] = [
  ['opportunistic', { tls: outboundTls() }, 'opportunistic', 'allowed'],
  ['encrypt', { tls: outboundTls({ mode: 'encrypt' }) }, 'encrypt', 'never'],
  ['trusted', { tls: outboundTls({ mode: 'trusted' }) }, 'trusted', 'never'],
  ['verify', { tls: outboundTls({ mode: 'verify' }) }, 'verify', 'never'],
  ['dane', { tls: outboundTls({ mode: 'dane' }) }, 'dane', 'never'],
  ['plaintext', { tls: outboundTls({ mode: 'plaintext' }) }, 'plaintext', 'always'],
  ['verify in test mode', { tls: outboundTls({ mode: 'verify' }), testMode: true }, 'opportunistic', 'allowed'],
  ['credentials', { route: { ...SMARTHOST, auth: { user: 'u', password: 'p' } } }, 'opportunistic', 'never'],
  ['implicit TLS', { route: { ...SMARTHOST, tls: 'implicit' } }, 'opportunistic', 'never'],
  ['a smarthost', { route: SMARTHOST }, 'opportunistic', 'allowed'],
];
for (const [what, change, mode, fate] of fates) {
  test(`${what}: mode ${mode}, plaintext ${fate}, and nothing else`, () => {
    assert.deepEqual(broken(partner(change), { connector: 'partner', tls: mode, plaintext: fate }), []);
    for (const other of ['always', 'allowed', 'never'] as const)
      assert.equal(broken(partner(change), { plaintext: other }).length, other === fate ? 0 : 1, other);
    for (const other of ['opportunistic', 'encrypt', 'trusted', 'verify', 'dane', 'plaintext'] as const)
      assert.equal(broken(partner(change), { tls: other }).length, other === mode ? 0 : 1, other);
  });
}

const reject = partner({ route: { kind: 'reject', text: 'no' } });
const sender = partner({
  match: { recipientDomains: EVERYTHING, senderDomains: [{ kind: 'exact', domain: 'us.test' as Domain }], inboundConnectors: [] },
});
const testing = partner({ tls: outboundTls({ mode: 'verify' }), testMode: true });
const words: readonly (readonly [
  what: string,
  connector: OutboundConnector,
  change: Partial<Expectation>,
  want: readonly string[],
])[] = [
  ['rejected mail never travels in the clear', reject, { connector: 'partner', plaintext: 'never' }, []],
  [
    'rejected mail has no mode',
    reject,
    { tls: 'opportunistic', plaintext: 'allowed' },
    ['expect.0.tls: connector partner rejects a@partner.test', 'expect.0.plaintext: connector partner rejects a@partner.test'],
  ],
  [
    'another connector is taken, and why',
    partner({ enabled: false }),
    { connector: 'partner' },
    ['expect.0.connector: a@partner.test takes connector default, not partner: it is disabled'],
  ],
  [
    'one above is taken',
    partner({}),
    { connector: 'default' },
    ['expect.0.connector: a@partner.test takes connector partner, not default: partner stands above it and matches'],
  ],
  ['the sender counts', sender, { connector: 'partner', from: { localPart: 'x', domain: 'us.test' as Domain } }, []],
  [
    'no sender is the null sender',
    sender,
    { connector: 'partner' },
    ['expect.0.connector: a@partner.test takes connector default, not partner: the null sender is not one of us.test'],
  ],
  [
    'test mode enforces nothing',
    testing,
    { tls: 'verify', plaintext: 'never' },
    [
      'expect.0.tls: a@partner.test goes with TLS mode opportunistic by connector partner, which is in test mode and enforces no verify',
      'expect.0.plaintext: a@partner.test may travel in plaintext where TLS fails by connector partner, which is in test mode',
    ],
  ],
];
for (const [what, connector, change, want] of words) {
  test(what, () => assert.deepEqual(broken(connector, change), want));
}

test('each is judged, at its own place', () => {
  const expect = [expectation({ connector: 'partner' }), expectation({ connector: 'default' }), expectation({ tls: 'verify' })];
  assert.deepEqual(
    judgeExpectations({ tls: TLS, outbound: [partner({}), last], expect }).map(({ path }) => path.join('.')),
    ['expect.1.connector', 'expect.2.tls'],
  );
});
