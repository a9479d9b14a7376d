/**
 * Who may send what where: the decision table, and hostile spellings of recipients against the parser and the policy together.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { AddressRange, InboundConnector } from '../../src/domain/connector.ts';
import { type NamePattern, parseNamePattern, type UntrustedReason } from '../../src/domain/peer.ts';
import type { UserConfig } from '../../src/domain/user.ts';
import {
  decideRecipient,
  decideSender,
  postmasterDomain,
  type SenderFacts,
  wouldBlock,
} from '../../src/inbound/acceptance-policy.ts';
import {
  asksForCertificate,
  connectorsAtPeer,
  matchConnectors,
  verifiedName,
} from '../../src/inbound/inbound-connector-policy.ts';
import { parseRecipient, type RecipientCommand } from '../../src/inbound/smtp-parameters-format.ts';
import { type ClientCertificate, NO_CERTIFICATE } from '../../src/security/client-certificate-policy.ts';
import { HOSTILE } from './hostile-addresses.ts';
import { below, connector, exact } from './support.ts';

const range = (address: string, prefix: number): AddressRange => ({
  family: address.includes(':') ? 'ipv6' : 'ipv4',
  address,
  prefix,
});
const ACCEPTED = [exact('example.org'), below('example.org')];

type Case = {
  readonly ip?: string;
  readonly tls?: boolean;
  readonly from?: string | null;
  readonly requireTls?: boolean;
  readonly auth?: 'off' | 'optional' | 'required';
  readonly user?: UserConfig;
  readonly certificate?: ClientCertificate;
  readonly inbound: readonly InboundConnector[];
};
const path = (from: string | null) => (from === null ? null : { localPart: 'a', domain: from as Domain });
const matched = (given: Case) =>
  matchConnectors(
    connectorsAtPeer(given.inbound, { address: given.ip ?? '203.0.113.5', certificate: given.certificate ?? NO_CERTIFICATE }),
    path(given.from === undefined ? 'contoso.com' : given.from),
  );
const facts = (given: Case): SenderFacts => ({
  tls: given.tls ?? false,
  certificate: given.certificate ?? NO_CERTIFICATE,
  listener: { requireTls: given.requireTls ?? false, auth: given.auth ?? 'off' },
  user: given.user ?? null,
  reversePath: path(given.from === undefined ? 'contoso.com' : given.from),
  connectors: matched(given),
});
const sender = (given: Case): string => {
  const decision = decideSender(facts(given));
  return decision.kind === 'accept' ? 'accept' : `${decision.reply.code} ${decision.reply.enhanced}`;
};
const relays = (given: Case): boolean =>
  decideRecipient({
    recipient: { localPart: 'x', domain: 'far.test' as Domain },
    acceptedDomains: ACCEPTED,
    connectors: matched(given),
    user: given.user ?? null,
  }).kind === 'accept';

const partner = connector('contoso-in', {
  match: { senderDomains: [exact('contoso.com'), below('contoso.com')], addresses: [], certificates: [] },
  require: { tls: true, addresses: [range('203.0.113.0', 24)], certificates: [] },
});
const everyone = connector('all', {
  match: { senderDomains: [{ kind: 'any' }], addresses: [], certificates: [] },
  require: { tls: true, addresses: [], certificates: [] },
});
const inside = connector('inside', {
  type: 'organization',
  match: { senderDomains: [], addresses: [range('10.0.0.0', 8), range('2001:db8::', 32)], certificates: [] },
});
const bySender = connector('by-sender', {
  type: 'organization',
  match: { senderDomains: [exact('contoso.com')], addresses: [], certificates: [] },
});
const bySenderFrom = connector('by-sender-from', {
  type: 'organization',
  match: { senderDomains: [exact('contoso.com')], addresses: [], certificates: [] },
  require: { tls: false, addresses: [range('10.0.0.0', 8)], certificates: [] },
});

const senderRows: readonly (readonly [what: string, given: Case, want: string])[] = [
  ['no connector: anyone may send', { inbound: [] }, 'accept'],
  ['the null sender may send', { inbound: [], from: null }, 'accept'],
  ['a listener that requires TLS', { inbound: [], requireTls: true }, '530 5.7.0'],
  ['the same with TLS', { inbound: [], requireTls: true, tls: true }, 'accept'],
  ['a partner without TLS', { inbound: [partner] }, '530 5.7.10'],
  ['a partner with TLS from its address', { inbound: [partner], tls: true }, 'accept'],
  ['a partner with TLS from elsewhere', { inbound: [partner], tls: true, ip: '198.51.100.1' }, '550 5.7.51'],
  ['a partner subdomain', { inbound: [partner], from: 'mail.contoso.com' }, '530 5.7.10'],
  ['a lookalike is not the partner', { inbound: [partner], from: 'notcontoso.com' }, 'accept'],
  ['a disabled partner restricts nothing', { inbound: [{ ...partner, enabled: false }] }, 'accept'],
  ['what restricts everyone restricts the null sender', { inbound: [everyone], from: null }, '530 5.7.10'],
  ['several match: all apply', { inbound: [everyone, inside], ip: '10.1.2.3' }, '530 5.7.10'],
  ['several match: one wrong address is enough', { inbound: [inside, partner], ip: '10.1.2.3', tls: true }, '550 5.7.51'],
];
for (const [what, given, want] of senderRows) test(what, () => assert.equal(sender(given), want));

const relayRows: readonly (readonly [what: string, given: Case, want: boolean])[] = [
  ['no one relays by default', { inbound: [] }, false],
  ['loopback is not trusted', { inbound: [], ip: '127.0.0.1' }, false],
  ['an organization by address relays', { inbound: [inside], ip: '10.1.2.3' }, true],
  ['an organization by IPv6 address relays', { inbound: [inside], ip: '2001:db8::7' }, true],
  ['an organization from another address does not', { inbound: [inside], ip: '11.1.2.3' }, false],
  ['an organization by forgeable sender alone does not', { inbound: [bySender] }, false],
  ['an organization by sender and required address relays', { inbound: [bySenderFrom], ip: '10.9.9.9' }, true],
  ['the same from elsewhere does not', { inbound: [bySenderFrom] }, false],
  ['a partner never relays', { inbound: [partner], tls: true }, false],
  ['a disabled organization does not relay', { inbound: [{ ...inside, enabled: false }], ip: '10.1.2.3' }, false],
];
for (const [what, given, want] of relayRows) test(what, () => assert.equal(relays(given), want));

// --- client certificates

const pattern = (text: string): NamePattern => {
  const parsed = parseNamePattern(text);
  assert.ok(parsed !== null, text);
  return parsed;
};
const verified = (usage: 'client' | 'server-only', ...names: readonly string[]): ClientCertificate => ({
  kind: 'verified',
  names: names.map(pattern),
  usage,
});
const untrusted = (reason: UntrustedReason): ClientCertificate => ({ kind: 'untrusted', reason });
const CERTIFICATES: Readonly<Record<string, ClientCertificate>> = {
  none: NO_CERTIFICATE,
  right: verified('client', 'mail.contoso.com'),
  'right among others': verified('client', 'x.test', 'mail.contoso.com'),
  wrong: verified('client', 'mail.fabrikam.com'),
  nameless: verified('client'),
  'one label below': verified('client', 'a.mail.contoso.com'),
  'two labels below': verified('client', 'a.b.mail.contoso.com'),
  wildcard: verified('client', '*.contoso.com'),
  'for servers only': verified('server-only', 'mail.contoso.com'),
  expired: untrusted('expired'),
  'not yet valid': untrusted('not-yet-valid'),
  'self-signed': untrusted('self-signed'),
  'of an unknown authority': untrusted('unknown-issuer'),
};
const wanting = (name: string, given: Partial<InboundConnector> = {}): InboundConnector =>
  connector('contoso-in', {
    match: { senderDomains: [exact('contoso.com')] },
    require: { tls: true, certificates: [pattern(name)] },
    ...given,
  });
const OK = new Set(['right', 'right among others', 'wildcard', 'for servers only']);
for (const [what, certificate] of Object.entries(CERTIFICATES)) {
  const rows: readonly (readonly [InboundConnector, boolean])[] = [
    [wanting('mail.contoso.com'), OK.has(what)],
    [wanting('*.mail.contoso.com'), what === 'one label below'],
    [wanting('mail.contoso.com', { acceptServerAuthOnly: false }), OK.has(what) && what !== 'for servers only'],
  ];
  for (const [inbound, fits] of rows) {
    const demand = `${inbound.require.certificates.map((one) => one.domain)} (${inbound.require.certificates[0]?.kind}, servers only: ${inbound.acceptServerAuthOnly})`;
    test(`a certificate that is ${what}, where ${demand} is required`, () => {
      assert.equal(sender({ inbound: [inbound], tls: true, certificate }), fits ? 'accept' : '550 5.7.51');
      assert.equal(sender({ inbound: [{ ...inbound, testMode: true }], tls: true, certificate }), 'accept');
      assert.equal(wouldBlock(facts({ inbound: [{ ...inbound, testMode: true }], tls: true, certificate })).length, fits ? 0 : 1);
      // What does not prove a name proves nothing: never a relay.
      const organization = { ...inbound, type: 'organization' as const };
      assert.equal(relays({ inbound: [organization], tls: true, certificate }), fits);
      assert.equal(relays({ inbound: [{ ...organization, testMode: true }], tls: true, certificate }), fits);
      const byCertificate = { ...organization, match: { ...inbound.match, certificates: inbound.require.certificates } };
      assert.equal(relays({ inbound: [byCertificate], from: 'x.test', tls: true, certificate }), fits);
      assert.equal(relays({ inbound: [{ ...byCertificate, type: 'partner' }], tls: true, certificate }), false);
    });
  }
}

test('the refusal says what is wrong with the certificate, and names no connector', () => {
  const text = (certificate: ClientCertificate): string => {
    const decision = decideSender(facts({ inbound: [wanting('mail.contoso.com')], tls: true, certificate }));
    return decision.kind === 'refuse' ? decision.reply.text : '';
  };
  assert.match(text(NO_CERTIFICATE), /only with a client certificate/);
  assert.match(text(untrusted('expired')), /expired/);
  assert.match(text(untrusted('unknown-issuer')), /authority/);
  for (const certificate of Object.values(CERTIFICATES)) assert.doesNotMatch(text(certificate), /contoso|connector/);
});

test('a required certificate implies TLS, whatever require.tls says', () => {
  const inbound = [{ ...wanting('mail.contoso.com'), require: { tls: false, addresses: [], certificates: [pattern('a.test')] } }];
  assert.equal(sender({ inbound }), '530 5.7.10');
});

test('connectors come by certificate, then address, then sender; the order written decides among equals', () => {
  const names = { certificates: [pattern('mail.contoso.com')] };
  const inbound = [
    connector('sender', { match: { senderDomains: [exact('contoso.com')] } }),
    connector('address', { match: { addresses: [range('203.0.113.0', 24)] } }),
    connector('certificate', { match: names }),
    connector('all', { match: { ...names, addresses: [range('203.0.113.0', 24)], senderDomains: [exact('contoso.com')] } }),
    connector('other', { match: { certificates: [pattern('x.test')] } }),
  ];
  const found = (certificate: ClientCertificate) =>
    matched({ inbound, tls: true, certificate }).map(({ connector: { name }, by }) => `${name} by ${by}`);
  assert.deepEqual(found(verified('client', 'mail.contoso.com')), [
    'certificate by certificate',
    'all by certificate',
    'address by address',
    'sender by sender',
  ]);
  assert.deepEqual(found(NO_CERTIFICATE), ['address by address', 'all by address', 'sender by sender']);
});

test('a certificate is asked for where an enabled connector needs one, else not', () => {
  assert.equal(asksForCertificate([]), false);
  assert.equal(asksForCertificate([partner, inside, everyone]), false);
  assert.equal(asksForCertificate([partner, wanting('a.test')]), true);
  assert.equal(asksForCertificate([connector('c', { match: { certificates: [pattern('a.test')] } })]), true);
  assert.equal(asksForCertificate([{ ...wanting('a.test'), enabled: false }]), false);
});

test('log and trace name what a connector knows, else the first name, else none', () => {
  const known = [wanting('*.contoso.com')];
  assert.equal(verifiedName(known, verified('client', 'x.test', 'mail.contoso.com')), 'mail.contoso.com');
  assert.equal(verifiedName(known, verified('client', 'x.test', 'y.test')), 'x.test');
  assert.equal(verifiedName(known, verified('client')), null);
  assert.equal(verifiedName(known, untrusted('expired')), null);
  assert.equal(verifiedName(known, NO_CERTIFICATE), null);
});

// --- test mode

const testRows: readonly (readonly [what: string, given: Case, blocked: readonly string[]])[] = [
  ['without TLS', { inbound: [{ ...partner, testMode: true }] }, ['contoso-in 530 5.7.10']],
  ['from elsewhere', { inbound: [{ ...partner, testMode: true }], tls: true, ip: '198.51.100.1' }, ['contoso-in 550 5.7.51']],
  ['as it should be', { inbound: [{ ...partner, testMode: true }], tls: true }, []],
  ['for another sender', { inbound: [{ ...partner, testMode: true }], from: 'x.test' }, []],
  [
    'of two connectors',
    {
      inbound: [
        { ...partner, testMode: true },
        { ...everyone, testMode: true },
      ],
    },
    ['contoso-in 530 5.7.10', 'all 530 5.7.10'],
  ],
];
for (const [what, given, blocked] of testRows) {
  test(`test mode takes mail ${what} and tells what it would have refused`, () => {
    assert.equal(sender(given), 'accept');
    const told = wouldBlock(facts(given)).map(({ connector: name, reply }) => `${name} ${reply.code} ${reply.enhanced}`);
    assert.deepEqual(told, blocked);
  });
}

test('test mode of one connector takes nothing off another', () => {
  assert.equal(sender({ inbound: [{ ...partner, testMode: true }, everyone] }), '530 5.7.10');
});

// --- users

const app: UserConfig = {
  name: 'app',
  password: { logN: 15, r: 8, p: 1, salt: '', hash: '' },
  senders: [
    { localPart: null, domain: exact('example.org') },
    { localPart: 'Boss', domain: exact('contoso.com') },
  ],
};
const anyone: UserConfig = { ...app, senders: [] };
const userRows: readonly (readonly [what: string, given: Case, want: string])[] = [
  ['a listener that requires login, in the clear', { inbound: [], auth: 'required' }, '530 5.7.0'],
  ['the same with TLS', { inbound: [], auth: 'required', tls: true }, '530 5.7.0'],
  ['the same, logged in', { inbound: [], auth: 'required', tls: true, user: anyone }, 'accept'],
  ['optional login, not logged in', { inbound: [], auth: 'optional', tls: true }, 'accept'],
  ['a user with an address of its own', { inbound: [], auth: 'optional', tls: true, user: app, from: 'example.org' }, 'accept'],
  ['a user with the address of another', { inbound: [], auth: 'optional', tls: true, user: app }, '553 5.7.1'],
  ['a user with the null sender', { inbound: [], auth: 'optional', tls: true, user: app, from: null }, '553 5.7.1'],
  ['a user who may use any address', { inbound: [], auth: 'optional', tls: true, user: anyone, from: null }, 'accept'],
  ['a connector restricts users, too', { inbound: [wanting('a.test')], auth: 'optional', tls: true, user: anyone }, '550 5.7.51'],
];
for (const [what, given, want] of userRows) test(what, () => assert.equal(sender(given), want));

test('local parts of sender patterns know no case', () => {
  const given = { inbound: [], auth: 'optional', tls: true, user: app } as const;
  const as = (localPart: string): string =>
    decideSender({ ...facts(given), reversePath: { localPart, domain: 'contoso.com' as Domain } }).kind;
  assert.equal(as('boss'), 'accept');
  assert.equal(as('boss2'), 'refuse');
});

test('who logged in may relay', () => {
  assert.equal(relays({ inbound: [], user: app, tls: true }), true);
  assert.equal(relays({ inbound: [], tls: true }), false);
});

test('address literals are refused even for those who may relay', () => {
  const literal = { recipient: { localPart: 'x', domain: '[127.0.0.1]' as Domain }, acceptedDomains: [{ kind: 'any' as const }] };
  assert.equal(
    decideRecipient({ ...literal, user: null, connectors: matched({ inbound: [inside], ip: '10.0.0.1' }) }).kind,
    'refuse',
  );
  assert.equal(decideRecipient({ ...literal, user: null, connectors: [] }).kind, 'refuse');
});

test('postmaster without a domain means the first accepted domain that is no wildcard', () => {
  assert.equal(postmasterDomain([below('a.test'), exact('b.test'), exact('c.test')]), 'b.test');
  assert.equal(postmasterDomain([below('a.test')]), null);
});

for (const smtpUtf8 of [false, true]) {
  test(`no hostile spelling is taken for an accepted domain unless it is one (SMTPUTF8 ${smtpUtf8})`, () => {
    for (const [spelling, verdict] of HOSTILE) {
      const parsed = parseRecipient(`TO:<${spelling}>`, smtpUtf8);
      const mailbox: RecipientCommand['mailbox'] = parsed.ok ? parsed.value.mailbox : 'postmaster';
      const taken =
        mailbox !== 'postmaster' &&
        decideRecipient({ recipient: mailbox, acceptedDomains: ACCEPTED, connectors: [], user: null }).kind === 'accept';
      if (verdict === 'never') assert.equal(taken, false, spelling);
      else if (taken) assert.match(mailbox.domain, /^(.+\.)?example\.org$/, spelling);
    }
  });
}
