import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AddressKind, addressTest, classifyAddress, mayConnect } from '../../src/routing/address-policy.ts';

const rows: readonly (readonly [address: string, kind: AddressKind])[] = [
  ['8.8.8.8', 'public'],
  ['192.0.2.1', 'public'],
  ['198.51.100.1', 'public'],
  ['203.0.113.1', 'public'],
  ['2001:db8::1', 'public'],
  ['2a00:1450::1', 'public'],
  ['0.0.0.0', 'unspecified'],
  ['0.1.2.3', 'unspecified'],
  ['::', 'unspecified'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['::127.0.0.1', 'loopback'],
  ['::ffff:0:127.0.0.1', 'loopback'],
  ['64:ff9b::7f00:1', 'loopback'],
  ['2002:7f00:1::1', 'loopback'],
  ['2001:0:1234::80ff:fffe', 'loopback'],
  ['10.0.0.1', 'private'],
  ['9.255.255.255', 'public'],
  ['11.0.0.0', 'public'],
  ['172.15.255.255', 'public'],
  ['172.16.0.0', 'private'],
  ['172.31.255.255', 'private'],
  ['172.32.0.0', 'public'],
  ['192.168.1.1', 'private'],
  ['192.167.255.255', 'public'],
  ['192.169.0.0', 'public'],
  ['fc00::1', 'private'],
  ['fdff::1', 'private'],
  ['fe00::1', 'public'],
  ['fec0::1', 'private'],
  ['64:ff9b:1::1', 'private'],
  ['64:ff9b::a00:1', 'private'],
  ['2002:c0a8:101::', 'private'],
  ['2001:0:1234::f5ff:fffe', 'private'],
  ['64:ff9b::808:808', 'public'],
  ['2002:808:808::', 'public'],
  ['169.254.1.1', 'link-local'],
  ['fe80::1', 'link-local'],
  ['fe80::1%eth0', 'link-local'],
  ['169.254.169.254', 'metadata'],
  ['169.254.170.2', 'metadata'],
  ['100.100.100.200', 'metadata'],
  ['168.63.129.16', 'metadata'],
  ['fd00:ec2::254', 'metadata'],
  ['::ffff:169.254.169.254', 'metadata'],
  ['100.63.255.255', 'public'],
  ['100.64.0.0', 'shared'],
  ['100.127.255.255', 'shared'],
  ['100.128.0.0', 'public'],
  ['224.0.0.1', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['ff02::1', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.255', 'reserved'],
  ['192.0.0.8', 'reserved'],
  ['198.18.0.1', 'reserved'],
  ['198.20.0.0', 'public'],
  ['100::1', 'reserved'],
  ['not an address', 'reserved'],
  ['127.1', 'reserved'],
  ['0x7f000001', 'reserved'],
];
for (const [address, kind] of rows) test(`${address} is ${kind}`, () => assert.equal(classifyAddress(address), kind));

const rules = {
  strict: { allowPrivate: false, exempt: false },
  allowed: { allowPrivate: true, exempt: false },
  exempt: { allowPrivate: false, exempt: true },
};
const verdicts: readonly (readonly [address: string, rule: keyof typeof rules, ok: boolean])[] = [
  ['192.0.2.1', 'strict', true],
  ['127.0.0.1', 'strict', false],
  ['10.0.0.1', 'strict', false],
  ['169.254.169.254', 'strict', false],
  ['::ffff:10.0.0.1', 'strict', false],
  ['127.0.0.1', 'allowed', true],
  ['10.0.0.1', 'exempt', true],
  ['fe80::1', 'exempt', true],
  ['0.0.0.0', 'allowed', false],
  ['0.0.0.0', 'exempt', false],
  ['::', 'exempt', false],
  ['224.0.0.1', 'exempt', false],
  ['ff02::1', 'allowed', false],
];
for (const [address, rule, expected] of verdicts) {
  test(`${rule}: ${address} ${expected ? 'may' : 'may not'} be connected to`, () => {
    assert.equal(mayConnect(address, rules[rule]).ok, expected);
  });
}

test('no IPv6 form of a refused IPv4 address is public', () => {
  const [first, second] = [fc.nat(0xffff), fc.nat(0xffff)];
  fc.assert(
    fc.property(first, second, (high, low) => {
      const ipv4 = [high >> 8, high & 255, low >> 8, low & 255].join('.');
      const hex = [high, low].map((group) => group.toString(16)).join(':');
      const inverted = [~high & 0xffff, ~low & 0xffff].map((group) => group.toString(16)).join(':');
      const forms = [
        `::ffff:${ipv4}`,
        `::ffff:${hex}`,
        `64:ff9b::${ipv4}`,
        `2002:${hex}::1`,
        `2001:0:1::${inverted}`,
        `::ffff:0:${hex}`,
      ];
      for (const form of forms) assert.equal(classifyAddress(form), classifyAddress(ipv4), form);
    }),
  );
});

test('own addresses are known in any spelling', () => {
  const isOwn = addressTest(new Set(['192.0.2.25', '2001:db8::25', 'fe80::1%eth0']));
  for (const own of ['192.0.2.25', '::ffff:192.0.2.25', '2001:DB8:0::25', 'fe80::1']) assert.ok(isOwn(own), own);
  for (const other of ['192.0.2.26', '2001:db8::26', '::192.0.2.25', 'nonsense', '']) assert.ok(!isOwn(other), other);
});
