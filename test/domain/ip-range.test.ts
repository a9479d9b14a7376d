import { strict as assert } from 'node:assert';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AddressRange } from '../../src/domain/connector.ts';
import { addressWords, inRanges } from '../../src/domain/ip-range.ts';

function range(text: string): AddressRange {
  const [address = '', prefix = ''] = text.split('/');
  return { family: isIP(address) === 6 ? 'ipv6' : 'ipv4', address, prefix: Number(prefix) };
}

const rows: readonly (readonly [address: string, ranges: readonly string[], inside: boolean])[] = [
  ['203.0.113.0', ['203.0.113.0/24'], true],
  ['203.0.113.255', ['203.0.113.0/24'], true],
  ['203.0.114.0', ['203.0.113.0/24'], false],
  ['203.0.112.255', ['203.0.113.0/24'], false],
  ['203.0.113.7', ['203.0.113.7/32'], true],
  ['203.0.113.8', ['203.0.113.7/32'], false],
  ['255.255.255.255', ['0.0.0.0/0'], true],
  ['192.0.2.1', ['128.0.0.0/1'], true],
  ['127.0.0.1', ['128.0.0.0/1'], false],
  ['::ffff:203.0.113.9', ['203.0.113.0/24'], true],
  ['::FFFF:CB00:7109', ['203.0.113.0/24'], true],
  ['203.0.113.9', ['::ffff:203.0.113.0/120'], true],
  ['::203.0.113.9', ['203.0.113.0/24'], false],
  ['2001:db8::1', ['2001:db8::/32'], true],
  ['2001:DB8:ffff:ffff:ffff:ffff:ffff:ffff', ['2001:db8::/32'], true],
  ['2001:db9::', ['2001:db8::/32'], false],
  ['2001:db8::1', ['2001:db8::1/128'], true],
  ['2001:db8::2', ['2001:db8::1/128'], false],
  ['fe80::1%eth0', ['fe80::/10'], true],
  ['10.0.0.1', ['::/0'], true],
  ['2001:db8::1', ['0.0.0.0/0'], false],
  ['10.0.0.1', ['192.0.2.0/24', '10.0.0.0/8'], true],
  ['10.0.0.1', [], false],
  ['not an address', ['0.0.0.0/0', '::/0'], false],
  ['10.0.0.1/8', ['10.0.0.0/8'], false],
  ['', ['0.0.0.0/0'], false],
];
for (const [address, ranges, inside] of rows) {
  test(`${address || '(empty)'} is ${inside ? '' : 'not '}in [${ranges.join(', ')}]`, () => {
    assert.equal(inRanges(address, ranges.map(range)), inside);
  });
}

test('agrees with Node about every range and address of one family', () => {
  const pair = fc.oneof(
    fc.tuple(fc.constant('ipv4' as const), fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 })),
    fc.tuple(fc.constant('ipv6' as const), fc.ipV6(), fc.ipV6(), fc.integer({ min: 0, max: 128 })),
  );
  fc.assert(
    fc.property(pair, ([family, address, base, prefix]) => {
      const list = new BlockList();
      list.addSubnet(base, prefix, family);
      assert.equal(inRanges(address, [{ family, address: base, prefix }]), list.check(address, family));
    }),
  );
});

test('every spelling of an IPv6 address has the same bits', () => {
  fc.assert(
    fc.property(fc.ipV6(), (address) => {
      const canonical = new SocketAddress({ address, family: 'ipv6' }).address;
      assert.deepEqual(addressWords(address), addressWords(canonical));
    }),
  );
});
