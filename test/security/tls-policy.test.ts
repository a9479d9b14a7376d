/**
 * The decision as tables: tls-policy.table.txt holds every combination of mode, DANE, MTA-STS and message demand, to be read
 * beside interface.md, section 4; small tables hold the rest; properties say that demands only add up.
 */
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import { namePatternText, type PeerRequirement, type SpkiHash } from '../../src/domain/peer.ts';
import type { PolicySource, TlsMode, TlsPolicy, TlsRung } from '../../src/domain/tls.ts';
import type { DaneStatus } from '../../src/security/dane-policy.ts';
import type { MtaStsStatus } from '../../src/security/mta-sts-policy.ts';
import { decideTlsPolicy, type MessageDemand, type SecurityFacts, type TlsDecision } from '../../src/security/tls-policy.ts';
import { outboundTls } from '../support/connectors.ts';

const domain = (text: string): Domain => text as Domain;
const exact = (text: string) => ({ kind: 'exact', domain: domain(text) }) as const;
const MX = domain('mx.partner.test');

const MODES: readonly TlsMode[] = ['plaintext', 'opportunistic', 'encrypt', 'trusted', 'verify', 'dane'];
const DANE: Readonly<Record<DaneStatus['kind'], DaneStatus>> = {
  'not-applicable': { kind: 'not-applicable', because: 'no-tlsa' },
  usable: {
    kind: 'usable',
    tlsaBase: MX,
    records: [{ usage: 3, selector: 1, matchingType: 1, data: 'ab'.repeat(32) }],
    names: [MX, domain('partner.test')],
  },
  unusable: { kind: 'unusable', tlsaBase: MX },
  undetermined: { kind: 'undetermined', problem: 'lookup-failed', text: 'the TLSA records could not be looked up' },
};
const policyOf = (mode: 'enforce' | 'testing', mx: string): MtaStsStatus => ({
  kind: 'policy',
  domain: domain('partner.test'),
  id: '1',
  mode,
  mx: [exact(mx)],
  maxAgeSeconds: 86_400,
  ends: 0 as Instant,
  problem: null,
});
type StsCase = 'none' | 'testing' | 'enforce' | 'enforce-other';
/** `enforce-other`: the policy names another host. */
const MTA_STS: Readonly<Record<StsCase, MtaStsStatus>> = {
  none: { kind: 'not-applicable', problem: null },
  testing: policyOf('testing', 'other.partner.test'),
  enforce: policyOf('enforce', MX),
  'enforce-other': policyOf('enforce', 'other.partner.test'),
};
const DANES = Object.keys(DANE) as readonly DaneStatus['kind'][];
const STSES = Object.keys(MTA_STS) as readonly StsCase[];
const MESSAGES: readonly MessageDemand[] = ['none', 'requiretls', 'tls-required-no'];

/** A delivery about which nothing is special, changed. The way to the MX is secure wherever DANE was asked for. */
function facts(change: Partial<SecurityFacts> = {}): SecurityFacts {
  const dane = change.dane ?? DANE['not-applicable'];
  return {
    connector: { name: 'lab', tls: outboundTls(), testMode: false },
    minVersion: 'TLSv1.2',
    host: { name: MX, nameIsSecure: dane.kind !== 'not-applicable' },
    dane,
    mtaSts: MTA_STS.none,
    message: 'none',
    credentials: false,
    implicitTls: false,
    ...change,
  };
}
const connector = (tls: Parameters<typeof outboundTls>[0], testMode = false): SecurityFacts['connector'] => ({
  name: 'lab',
  tls: outboundTls(tls),
  testMode,
});

function requirementText(requirement: PeerRequirement): string {
  switch (requirement.kind) {
    case 'name':
      return `name=${requirement.names.map(namePatternText).join('|')}`;
    case 'pin':
      return `pin=${requirement.keys.map((key) => key.slice(0, 4)).join('|')}`;
    case 'trusted':
    case 'dane':
    case 'offers-requiretls':
      return requirement.kind;
  }
}
const sourceText = (source: PolicySource): string => (source.kind === 'message' ? source.demand : source.kind);
const peerText = (peer: readonly PeerRequirement[]): string => peer.map(requirementText).join(' + ') || 'any certificate';
function decisionText(decision: TlsDecision): string {
  if (decision.kind === 'skip-host') return `SKIP ${decision.problem.enhanced}: ${decision.problem.text}`;
  const { plaintext, peer, because } = decision.policy;
  return `${plaintext.padEnd(8)}${(plaintext === 'always' ? '-' : peerText(peer)).padEnd(72)}${because.map(sourceText).join(', ')}`;
}

test('every combination of mode, DANE, MTA-STS and message demand is in the table', () => {
  const rows = MODES.flatMap((mode) =>
    DANES.flatMap((dane) =>
      STSES.flatMap((sts) =>
        MESSAGES.map((message) => {
          const decision = decideTlsPolicy(
            facts({ connector: connector({ mode }), dane: DANE[dane], mtaSts: MTA_STS[sts], message }),
          );
          return `${mode.padEnd(14)}${dane.padEnd(15)}${sts.padEnd(14)}${message.padEnd(16)}-> ${decisionText(decision)}`;
        }),
      ),
    ),
  );
  assert.equal(rows.length, 6 * 4 * 4 * 3);
  const head = 'mode          DANE           MTA-STS       message            plaintext, peer, sources; or SKIP code: reason';
  const computed = `${head}\n${rows.join('\n')}\n`;
  const file = new URL('tls-policy.table.txt', import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, computed);
  assert.equal(computed, readFileSync(file, 'utf8'));
});

const PIN = 'cd'.repeat(32) as SpkiHash;
const verify = (names: readonly string[], pins: readonly SpkiHash[]): SecurityFacts['connector'] =>
  connector({ mode: 'verify', names: names.map(exact), pins });
const SECURE = { name: MX, nameIsSecure: true };
const NAMELESS = { name: null, nameIsSecure: true };

type Row = readonly [name: string, change: Partial<SecurityFacts>, expected: string];
function table(title: string, rows: readonly Row[]): void {
  describe(title, () => {
    for (const [name, change, expected] of rows) {
      test(`${name} -> ${expected}`, () =>
        assert.equal(decisionText(decideTlsPolicy(facts(change))).replace(/ {2,}/g, ' '), expected));
    }
  });
}

table('names and pins of mode verify', [
  ['neither: the host', { connector: verify([], []) }, 'never name=mx.partner.test connector'],
  ['names', { connector: verify(['a.test', 'b.test'], []) }, 'never name=a.test|b.test connector'],
  ['pins: chain and name do not count', { connector: verify([], [PIN]) }, `never pin=cdcd connector`],
  ['both: both', { connector: verify(['a.test'], [PIN]) }, `never name=a.test + pin=cdcd connector`],
  [
    'pins and MTA-STS: the chain counts again',
    { connector: verify([], [PIN]), mtaSts: MTA_STS.enforce },
    `never pin=cdcd + name=mx.partner.test connector, mta-sts`,
  ],
]);

table('a host named by its address only', [
  ['opportunistic', { host: NAMELESS }, 'allowed any certificate connector'],
  ['trusted', { host: NAMELESS, connector: connector({ mode: 'trusted' }) }, 'never trusted connector'],
  [
    'verify',
    { host: NAMELESS, connector: verify([], []) },
    'SKIP 4.7.320: the connector verifies names, and the host is named by its address only',
  ],
  ['verify with names', { host: NAMELESS, connector: verify(['a.test'], []) }, 'never name=a.test connector'],
  ['verify with pins', { host: NAMELESS, connector: verify([], [PIN]) }, `never pin=cdcd connector`],
  ['MTA-STS', { host: NAMELESS, mtaSts: MTA_STS.enforce }, 'SKIP 4.4.8: the host is not in the MTA-STS policy of partner.test'],
  ['REQUIRETLS', { host: NAMELESS, message: 'requiretls' }, 'SKIP 5.7.30: REQUIRETLS: the host is named by its address only'],
]);

table('REQUIRETLS', [
  [
    'a way secured by DNSSEC: the host proves its name',
    { message: 'requiretls', host: SECURE },
    'never name=mx.partner.test + offers-requiretls requiretls',
  ],
  [
    'and the connector demands names: these',
    { message: 'requiretls', host: SECURE, connector: verify(['a.test'], []) },
    'never name=a.test + offers-requiretls connector, requiretls',
  ],
  [
    'pins have no chain: the host proves its name, too',
    { message: 'requiretls', host: SECURE, connector: verify([], [PIN]) },
    `never pin=cdcd + name=mx.partner.test + offers-requiretls connector, requiretls`,
  ],
  [
    'a chain has no name',
    { message: 'requiretls', host: SECURE, connector: connector({ mode: 'trusted' }) },
    'never trusted + name=mx.partner.test + offers-requiretls connector, requiretls',
  ],
  [
    'an MTA-STS policy that could not be fetched may be there next time',
    { message: 'requiretls', mtaSts: { kind: 'not-applicable', problem: { kind: 'lookup', problem: 'timeout' } } },
    'SKIP 4.7.30: REQUIRETLS: the way to the host is secured by neither DNSSEC nor MTA-STS',
  ],
  [
    'a broken record is as good as none',
    { message: 'requiretls', mtaSts: { kind: 'not-applicable', problem: { kind: 'record', fault: 'several' } } },
    'SKIP 5.7.30: REQUIRETLS: the way to the host is secured by neither DNSSEC nor MTA-STS',
  ],
]);

table('credentials and implicit TLS', [
  ['credentials', { credentials: true }, 'never any certificate credentials'],
  ['implicit', { implicitTls: true }, 'never any certificate connector'],
  ['both', { credentials: true, implicitTls: true }, 'never any certificate credentials'],
  [
    'credentials, mode verify',
    { credentials: true, connector: verify([], []) },
    'never name=mx.partner.test connector, credentials',
  ],
  ['credentials, and the message waives', { credentials: true, message: 'tls-required-no' }, 'never any certificate credentials'],
  [
    'a plaintext connector with credentials (refused by check) does not send them in the clear',
    { credentials: true, connector: connector({ mode: 'plaintext' }) },
    'never any certificate credentials',
  ],
]);

test('the default connector counts as the default', () => {
  const named = { ...facts().connector, name: 'default' };
  assert.deepEqual(use(decideTlsPolicy(facts({ connector: named }))).because, [{ kind: 'default' }]);
});

describe('the ladder', () => {
  const rows: readonly [change: Partial<SecurityFacts>, ladder: readonly TlsRung[]][] = [
    [{}, ['modern', 'compatible', 'legacy']],
    [{ connector: connector({ ladder: ['modern', 'legacy'] }) }, ['modern', 'legacy']],
    [{ minVersion: 'TLSv1.3' }, ['modern']],
    [{ minVersion: 'TLSv1.3', connector: connector({ ladder: ['compatible', 'legacy'] }) }, []],
    [{ connector: connector({ mode: 'plaintext' }) }, []],
  ];
  for (const [change, ladder] of rows) {
    test(`${JSON.stringify(change)} -> ${ladder.join(', ') || 'no rung'}`, () =>
      assert.deepEqual(use(decideTlsPolicy(facts(change))).ladder, ladder));
  }
});

describe('test mode', () => {
  const shadowOf = (change: Partial<SecurityFacts>): TlsDecision | null => {
    const decision = decideTlsPolicy(facts(change));
    return decision.kind === 'use' ? decision.shadow : null;
  };
  const rows: readonly [mode: TlsMode, change: Partial<SecurityFacts>, now: RegExp, shadow: RegExp | null][] = [
    ['plaintext', {}, /^always/, /^always/],
    ['encrypt', {}, /^allowed any/, /^never {3}any/],
    ['trusted', {}, /^allowed any/, /^never {3}trusted/],
    ['verify', {}, /^allowed any/, /^never {3}name=mx/],
    ['dane', {}, /^allowed any/, /^SKIP 4\.7\.324/],
    ['verify', { dane: DANE.usable }, /^never {3}dane/, /^never {3}name=mx\S+ \+ dane/],
    ['verify', { mtaSts: MTA_STS.enforce }, /^never {3}name=mx/, /^never {3}name=mx/],
    ['verify', { message: 'requiretls' }, /^SKIP 5\.7\.30/, null],
    ['verify', { credentials: true }, /^never {3}any/, /^never {3}name=mx/],
  ];
  for (const [mode, change, now, shadow] of rows) {
    test(`${mode} ${Object.keys(change).join()}: ${now.source}, would have been ${shadow?.source ?? 'the same'}`, () => {
      const tried = { ...change, connector: connector({ mode }, true) };
      assert.match(decisionText(decideTlsPolicy(facts(tried))), now);
      const would = shadowOf(tried);
      if (shadow === null) assert.equal(would, null);
      else assert.match(would === null ? 'nothing' : decisionText(would), shadow);
    });
  }
  test('a connector that is not in test mode has no shadow', () => assert.equal(shadowOf({}), null));
});

function use(decision: TlsDecision): TlsPolicy {
  assert.equal(decision.kind, 'use');
  return decision.policy;
}

/** Every combination of everything a delivery may meet. DANE is only ever asked for where the way to the MX is secure. */
const anyFacts: fc.Arbitrary<SecurityFacts> = fc
  .record({
    mode: fc.constantFrom(...MODES),
    names: fc.constantFrom([], [exact('a.test')]),
    pins: fc.constantFrom([], [PIN]),
    ladder: fc.subarray<TlsRung>(['modern', 'compatible', 'legacy'], { minLength: 1 }),
    minVersion: fc.constantFrom('TLSv1.2' as const, 'TLSv1.3' as const),
    named: fc.boolean(),
    secure: fc.boolean(),
    dane: fc.constantFrom(...DANES),
    sts: fc.constantFrom(...STSES),
    message: fc.constantFrom(...MESSAGES),
    credentials: fc.boolean(),
    implicitTls: fc.boolean(),
    testMode: fc.boolean(),
  })
  .map(({ mode, names, pins, ladder, named, secure, dane, sts, testMode, ...rest }) => ({
    ...rest,
    connector: connector({ mode, names, pins, ladder: mode === 'plaintext' ? [] : ladder }, testMode),
    host: { name: named ? MX : null, nameIsSecure: secure || dane !== 'not-applicable' },
    dane: DANE[dane],
    mtaSts: MTA_STS[sts],
  }));

const holds = (property: (one: SecurityFacts) => void): void => fc.assert(fc.property(anyFacts, property), { numRuns: 3000 });

/** Which requirement another one includes: a name has its chain; of a host's own name DANE takes the place (RFC 8461, section 2). */
function includes(has: PeerRequirement, wanted: PeerRequirement): boolean {
  if (JSON.stringify(has) === JSON.stringify(wanted)) return true;
  if (wanted.kind === 'trusted') return has.kind === 'name';
  return has.kind === 'dane' && wanted.kind === 'name' && JSON.stringify(wanted.names) === JSON.stringify([exact(MX)]);
}
const LAXNESS = { never: 0, allowed: 1, always: 2 } as const;
function assertAtLeast(stricter: TlsDecision, laxer: TlsDecision): void {
  if (stricter.kind === 'skip-host') return;
  const [more, less] = [stricter.policy, use(laxer)];
  assert.ok(LAXNESS[more.plaintext] <= LAXNESS[less.plaintext], `${decisionText(stricter)}; was ${decisionText(laxer)}`);
  for (const wanted of less.peer)
    assert.ok(
      more.peer.some((has) => includes(has, wanted)),
      `${decisionText(stricter)}; was ${decisionText(laxer)}`,
    );
}
const withMode = (one: SecurityFacts, mode: TlsMode): SecurityFacts => ({
  ...one,
  connector: { ...one.connector, tls: { ...one.connector.tls, mode } },
});

describe('requirements only add up', () => {
  const additions: Readonly<Record<string, (one: SecurityFacts) => SecurityFacts>> = {
    'DANE, usable': (one) => ({ ...one, dane: DANE.usable, host: { ...one.host, nameIsSecure: true } }),
    'DANE, unusable': (one) =>
      one.dane.kind === 'not-applicable' ? { ...one, dane: DANE.unusable, host: { ...one.host, nameIsSecure: true } } : one,
    'DANE, undetermined': (one) => ({ ...one, dane: DANE.undetermined }),
    'MTA-STS, enforce': (one) => (one.mtaSts === MTA_STS['enforce-other'] ? one : { ...one, mtaSts: MTA_STS.enforce }),
    'MTA-STS, another host': (one) => ({ ...one, mtaSts: MTA_STS['enforce-other'] }),
    REQUIRETLS: (one) => ({ ...one, message: 'requiretls' }),
    credentials: (one) => ({ ...one, credentials: true }),
    'implicit TLS': (one) => ({ ...one, implicitTls: true }),
  };
  for (const [name, add] of Object.entries(additions)) {
    test(`${name} lowers nothing`, () =>
      holds((one) => {
        const before = decideTlsPolicy(one);
        const after = decideTlsPolicy(add(one));
        // What secures the way may make a delivery possible that was not; the demands of the others are compared below.
        if (before.kind === 'use') assertAtLeast(after, before);
      }));
  }
  test('REQUIRETLS is never weaker than without', () =>
    holds((one) => {
      const plain = decideTlsPolicy({ ...one, message: 'none' });
      const required = decideTlsPolicy({ ...one, message: 'requiretls' });
      if (plain.kind === 'skip-host') return assert.equal(required.kind, 'skip-host');
      assertAtLeast(required, plain);
      if (required.kind === 'use') assert.ok(required.policy.peer.some(({ kind }) => kind === 'offers-requiretls'));
    }));
  test('a stricter mode of the connector lowers nothing', () =>
    holds((one) => {
      const real = { ...one, connector: { ...one.connector, testMode: false } };
      const order: readonly TlsMode[] = ['plaintext', 'opportunistic', 'encrypt', 'trusted'];
      for (const [at, mode] of order.slice(0, -1).entries()) {
        const lax = decideTlsPolicy(withMode(real, mode));
        if (lax.kind === 'use') assertAtLeast(decideTlsPolicy(withMode(real, order[at + 1] ?? mode)), lax);
      }
    }));
  test('what the connector demands alone it demands in all company', () =>
    holds((one) => {
      const real = { ...one, connector: { ...one.connector, testMode: false } };
      // DANE is the connector's own demand only in mode dane.
      const dane = one.connector.tls.mode === 'dane' ? one.dane : DANE['not-applicable'];
      const alone = decideTlsPolicy({
        ...real,
        dane,
        mtaSts: MTA_STS.none,
        message: 'none',
        credentials: false,
        implicitTls: false,
      });
      const together = decideTlsPolicy(real);
      if (alone.kind === 'skip-host') return assert.equal(together.kind, 'skip-host');
      if (together.kind === 'skip-host') return;
      for (const wanted of alone.policy.peer)
        assert.deepEqual(together.policy.peer.includes(wanted) || same(together, wanted), true);
      assert.ok(LAXNESS[together.policy.plaintext] <= LAXNESS[alone.policy.plaintext]);
    }));
  const same = (decision: TlsDecision, wanted: PeerRequirement): boolean =>
    use(decision).peer.some((has) => JSON.stringify(has) === JSON.stringify(wanted));
});

describe('plaintext', () => {
  test('is never allowed where any source forbids it', () =>
    holds((one) => {
      const decision = decideTlsPolicy(one);
      if (decision.kind === 'skip-host' || decision.policy.plaintext === 'never') return;
      const mode = one.connector.testMode && one.connector.tls.mode !== 'plaintext' ? 'opportunistic' : one.connector.tls.mode;
      assert.ok(!one.credentials && !one.implicitTls && one.message !== 'requiretls');
      assert.ok(mode === 'opportunistic' || mode === 'plaintext');
      assert.equal(decision.policy.plaintext, mode === 'plaintext' ? 'always' : 'allowed');
      if (mode === 'plaintext' || one.message === 'tls-required-no') return;
      assert.equal(one.dane.kind, 'not-applicable');
      assert.ok(one.mtaSts.kind === 'not-applicable' || one.mtaSts.mode === 'testing');
    }));
  test('never goes with a demand on the peer, and only it may be without a rung', () =>
    holds((one) => {
      const decision = decideTlsPolicy(one);
      if (decision.kind === 'skip-host') return;
      const { plaintext, peer, ladder } = decision.policy;
      if (peer.length > 0) assert.equal(plaintext, 'never');
      assert.deepEqual(
        ladder,
        plaintext === 'always'
          ? []
          : one.connector.tls.ladder.filter((rung) => rung === 'modern' || one.minVersion === 'TLSv1.2'),
      );
    }));
});

test('TLS-Required: No is a delivery without DANE and MTA-STS, and nothing else less', () =>
  holds((one) => {
    const waived = decideTlsPolicy({ ...one, message: 'tls-required-no' });
    const without = decideTlsPolicy({
      ...one,
      dane: one.connector.tls.mode === 'dane' && !one.connector.testMode ? one.dane : DANE['not-applicable'],
      mtaSts: MTA_STS.none,
      message: 'none',
    });
    if (waived.kind === 'skip-host' || without.kind === 'skip-host') return assert.equal(waived.kind, without.kind);
    assert.deepEqual(waived.policy.peer, without.policy.peer);
    assert.equal(waived.policy.plaintext, without.policy.plaintext);
  }));

test('one demand that cannot be met is enough to skip the host', () =>
  holds((one) => {
    const { tls, testMode } = one.connector;
    const inForce = tls.mode !== 'plaintext' && one.message !== 'tls-required-no';
    const mode = testMode && tls.mode !== 'plaintext' ? 'opportunistic' : tls.mode;
    const impossible =
      (inForce && one.dane.kind === 'undetermined') ||
      (inForce && one.dane.kind !== 'usable' && one.mtaSts === MTA_STS['enforce-other']) ||
      (inForce && one.dane.kind !== 'usable' && one.mtaSts === MTA_STS.enforce && one.host.name === null) ||
      (mode === 'dane' && one.dane.kind !== 'usable') ||
      (mode === 'verify' && tls.names.length === 0 && tls.pins.length === 0 && one.host.name === null) ||
      (mode === 'plaintext' && one.message === 'requiretls');
    if (impossible) assert.equal(decideTlsPolicy(one).kind, 'skip-host');
  }));

test('test mode is the same delivery by an opportunistic connector, with the real decision as its shadow', () =>
  holds((one) => {
    const mode = one.connector.tls.mode === 'plaintext' ? 'plaintext' : 'opportunistic';
    const tried = decideTlsPolicy({ ...one, connector: { ...one.connector, testMode: true } });
    const real = { ...one, connector: { ...one.connector, testMode: false } };
    const lax = decideTlsPolicy(withMode(real, mode));
    assert.deepEqual(tried, lax.kind === 'use' ? { ...lax, shadow: decideTlsPolicy(real) } : lax);
  }));
