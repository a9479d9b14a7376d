/**
 * Who may send what where: the decision table, and hostile spellings of recipients against the parser and the policy together.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { AddressRange, InboundConnector } from '../../src/domain/connector.ts';
import { decideRecipient, decideSender, postmasterDomain } from '../../src/inbound/acceptance-policy.ts';
import { connectorsAtPeer, matchConnectors } from '../../src/inbound/inbound-connector-policy.ts';
import { parseRecipient, type RecipientCommand } from '../../src/inbound/smtp-parameters-format.ts';
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
  readonly inbound: readonly InboundConnector[];
};
const path = (from: string | null) => (from === null ? null : { localPart: 'a', domain: from as Domain });
const matched = (given: Case) =>
  matchConnectors(
    connectorsAtPeer(given.inbound, given.ip ?? '203.0.113.5'),
    path(given.from === undefined ? 'contoso.com' : given.from),
  );
const sender = (given: Case): string => {
  const decision = decideSender({
    tls: given.tls ?? false,
    listenerRequiresTls: given.requireTls ?? false,
    connectors: matched(given),
  });
  return decision.kind === 'accept' ? 'accept' : `${decision.reply.code} ${decision.reply.enhanced}`;
};
const relays = (given: Case): boolean =>
  decideRecipient({
    recipient: { localPart: 'x', domain: 'far.test' as Domain },
    acceptedDomains: ACCEPTED,
    connectors: matched(given),
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

test('address literals are refused even for those who may relay', () => {
  const facts = { recipient: { localPart: 'x', domain: '[127.0.0.1]' as Domain }, acceptedDomains: [{ kind: 'any' as const }] };
  assert.equal(decideRecipient({ ...facts, connectors: matched({ inbound: [inside], ip: '10.0.0.1' }) }).kind, 'refuse');
  assert.equal(decideRecipient({ ...facts, connectors: [] }).kind, 'refuse');
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
        decideRecipient({ recipient: mailbox, acceptedDomains: ACCEPTED, connectors: [] }).kind === 'accept';
      if (verdict === 'never') assert.equal(taken, false, spelling);
      else if (taken) assert.match(mailbox.domain, /^(.+\.)?example\.org$/, spelling);
    }
  });
}
