import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseResolvConf, parseServerAddress } from '../../src/dns/resolv-conf-format.ts';

const files: readonly (readonly [name: string, text: string, servers: readonly string[]])[] = [
  ['one server', 'nameserver 192.0.2.1\n', ['192.0.2.1']],
  ['order is kept', 'search example.org\nnameserver 192.0.2.2\nnameserver 192.0.2.1\noptions edns0', ['192.0.2.2', '192.0.2.1']],
  ['IPv6, with a zone', 'nameserver 2001:db8::1\nnameserver fe80::1%eth0', ['2001:db8::1', 'fe80::1%eth0']],
  ['comments', '# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nnameserver 192.0.2.1 # ours', ['192.0.2.1']],
  ['CRLF and tabs', 'nameserver\t192.0.2.1\r\n', ['192.0.2.1']],
  [
    'nonsense is passed over',
    'nameserver dns.example.org\nnameserver\nnameservers 192.0.2.3\nnameserver 192.0.2.1',
    ['192.0.2.1'],
  ],
  ['three at most', [1, 2, 3, 4].map((n) => `nameserver 192.0.2.${n}`).join('\n'), ['192.0.2.1', '192.0.2.2', '192.0.2.3']],
  ['none: this machine', 'search example.org\n', ['127.0.0.1']],
  ['empty: this machine', '', ['127.0.0.1']],
];
for (const [name, text, servers] of files) {
  test(`resolv.conf: ${name}`, () => {
    assert.deepEqual(
      parseResolvConf(text),
      servers.map((address) => ({ address, port: 53 })),
    );
  });
}

const addresses: readonly (readonly [text: string, server: string | null])[] = [
  ['192.0.2.1', '192.0.2.1 53'],
  ['192.0.2.1:5353', '192.0.2.1 5353'],
  ['2001:db8::1', '2001:db8::1 53'],
  ['[2001:db8::1]:5353', '2001:db8::1 5353'],
  ['[2001:db8::1]', '2001:db8::1 53'],
  ['192.0.2.1:0', null],
  ['192.0.2.1:65536', null],
  ['192.0.2.256', null],
  ['[192.0.2.1]:53', null],
  ['dns.example.org', null],
  ['', null],
];
for (const [text, server] of addresses) {
  test(`server address "${text}" -> ${server ?? 'refused'}`, () => {
    const parsed = parseServerAddress(text);
    assert.equal(parsed === null ? null : `${parsed.address} ${parsed.port}`, server);
  });
}

test('no text makes either parser throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.ok(parseResolvConf(text).length > 0);
      parseServerAddress(text);
    }),
  );
});
