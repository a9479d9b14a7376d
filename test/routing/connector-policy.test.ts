import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { NonEmpty } from '../../src/domain/basics.ts';
import type { DomainPattern, OutboundConnector } from '../../src/domain/connector.ts';
import { type ConnectorQuery, chooseConnector, findConnector } from '../../src/routing/connector-policy.ts';
import { outboundConnector } from '../support/connectors.ts';

const pattern = (text: string): DomainPattern => {
  if (text === '*') return { kind: 'any' };
  return text.startsWith('*.') ? { kind: 'below', domain: text.slice(2) as Domain } : { kind: 'exact', domain: text as Domain };
};

type Given = { to: string[]; from?: string[]; in?: string[]; enabled?: boolean };
function connector(name: string, given: Given): OutboundConnector {
  return outboundConnector({
    name,
    match: {
      recipientDomains: given.to.map(pattern),
      senderDomains: (given.from ?? []).map(pattern),
      inboundConnectors: given.in ?? [],
    },
    enabled: given.enabled ?? true,
  });
}

const connectors: NonEmpty<OutboundConnector> = [
  connector('off', { to: ['*'], enabled: false }),
  connector('contoso', { to: ['contoso.test', '*.contoso.test'] }),
  connector('from-ours', { to: ['partner.test'], from: ['ours.test', '*.ours.test'] }),
  connector('from-anyone', { to: ['bank.test'], from: ['*'] }),
  connector('from-inside', { to: ['partner.test', 'inside.test'], in: ['on-premises', 'printer'] }),
  connector('first', { to: ['twice.test'] }),
  connector('second', { to: ['twice.test'] }),
  connector('deep', { to: ['*.deep.test'] }),
  connector('literal', { to: ['[192.0.2.1]'] }),
  connector('default', { to: ['*'] }),
];

const rows: readonly (readonly [recipient: string, sender: string | null, inbound: string[], connector: string])[] = [
  ['contoso.test', 'x.test', [], 'contoso'],
  ['mail.contoso.test', null, [], 'contoso'],
  ['a.b.contoso.test', 'x.test', [], 'contoso'],
  ['notcontoso.test', 'x.test', [], 'default'],
  ['contoso.test.evil.test', 'x.test', [], 'default'],
  ['contoso', 'x.test', [], 'default'],
  ['partner.test', 'ours.test', [], 'from-ours'],
  ['partner.test', 'sub.ours.test', [], 'from-ours'],
  ['partner.test', 'notours.test', [], 'default'],
  ['partner.test', null, [], 'default'],
  ['partner.test', null, ['printer'], 'from-inside'],
  ['partner.test', 'x.test', ['other', 'on-premises'], 'from-inside'],
  ['partner.test', 'ours.test', ['on-premises'], 'from-ours'],
  ['inside.test', 'x.test', ['other'], 'default'],
  ['inside.test', 'x.test', [], 'default'],
  ['bank.test', 'x.test', [], 'from-anyone'],
  ['bank.test', null, [], 'from-anyone'],
  ['bank.test', '[192.0.2.9]', [], 'from-anyone'],
  ['twice.test', 'x.test', [], 'first'],
  ['deep.test', 'x.test', [], 'default'],
  ['very.deep.test', 'x.test', [], 'deep'],
  ['[192.0.2.1]', 'x.test', [], 'literal'],
  ['[192.0.2.2]', 'x.test', [], 'default'],
  ['elsewhere.test', null, [], 'default'],
];
const query = (recipient: string, sender: string | null, inboundConnectors: string[]): ConnectorQuery => ({
  recipient: recipient as Domain,
  sender: sender as Domain | null,
  inboundConnectors,
});
for (const [recipient, sender, inbound, expected] of rows) {
  test(`<${sender ?? ''}> to ${recipient}${inbound.length > 0 ? ` by ${inbound.join(' and ')}` : ''} takes ${expected}`, () => {
    assert.equal(findConnector(query(recipient, sender, inbound), connectors).name, expected);
  });
}

test('the choice says why each connector above it did not apply', () => {
  const { connector: chosen, passedOver } = chooseConnector(query('partner.test', null, ['printer']), connectors);
  assert.equal(chosen.name, 'from-inside');
  assert.deepEqual(passedOver, [
    { name: 'off', because: 'it is disabled' },
    { name: 'contoso', because: 'recipient domain partner.test is not one of contoso.test, *.contoso.test' },
    { name: 'from-ours', because: 'the null sender is not one of ours.test, *.ours.test' },
    { name: 'from-anyone', because: 'recipient domain partner.test is not one of bank.test' },
  ]);
  const other = chooseConnector(query('partner.test', 'x.test', []), connectors).passedOver;
  assert.equal(other[2]?.because, 'sender domain x.test is not one of ours.test, *.ours.test');
  assert.equal(other[4]?.because, 'the message did not come in by on-premises or printer');
});

test('explained or not, the choice is the same, and nothing above it matches', () => {
  const names = fc.constantFrom(
    'contoso.test',
    'a.contoso.test',
    'partner.test',
    'bank.test',
    'ours.test',
    'x.test',
    'inside.test',
  );
  const origins = fc.subarray(['on-premises', 'printer', 'other']);
  fc.assert(
    fc.property(
      names,
      fc.option(names),
      origins,
      fc.shuffledSubarray([...connectors], { minLength: 1 }),
      (to, from, by, some) => {
        const [head, ...rest] = [...some, connector('default', { to: ['*'] })];
        assert.ok(head !== undefined);
        const list = [head, ...rest] as const;
        const choice = chooseConnector(query(to, from, by), list);
        assert.equal(choice.connector, findConnector(query(to, from, by), list));
        assert.equal(choice.passedOver.length, list.indexOf(choice.connector));
        assert.ok(choice.passedOver.every(({ because }) => because !== 'it matches'));
      },
    ),
  );
});
