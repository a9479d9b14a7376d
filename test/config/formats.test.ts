/**
 * The small grammars: what is written is read back, what is no value is refused, addresses and networks are canonical.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  endpointText,
  isLoopback,
  parseEndpoint,
  parseRange,
  rangeText,
  spanOf,
  spansMeet,
} from '../../src/config/address-format.ts';
import { formatDuration, parseDuration } from '../../src/config/duration-format.ts';
import { nextHopText, parseNextHop } from '../../src/config/next-hop-format.ts';
import { formatPath, quoted } from '../../src/config/path-format.ts';
import { coverOf, covers, parseDomainPattern } from '../../src/config/pattern-format.ts';
import { formatSize, parseSize } from '../../src/config/size-format.ts';
import { editDistance, nearest } from '../../src/config/suggestion.ts';
import { ok } from '../../src/domain/basics.ts';
import { type AddressRange, domainPatternText, matchesDomain } from '../../src/domain/connector.ts';

test('durations are read back as written', () => {
  fc.assert(
    fc.property(fc.nat(9_999_999), (seconds) => {
      assert.deepEqual(parseDuration(formatDuration(seconds * 1000)), ok(seconds * 1000));
    }),
  );
});

test('sizes are read back as written', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), fc.constantFrom(1, 1024, 2 ** 20), (count, unit) => {
      assert.deepEqual(parseSize(formatSize(count * unit)), ok(count * unit));
    }),
  );
});

const durations: readonly [text: string, milliseconds: number | null][] = [
  ['0', 0],
  ['0s', 0],
  ['30s', 30_000],
  ['5m', 300_000],
  ['4h', 14_400_000],
  ['2d', 172_800_000],
  ['', null],
  ['5', null],
  ['5M', null],
  ['5 m', null],
  ['+5m', null],
  ['1e3s', null],
  ['99999999s', null],
];
for (const [text, milliseconds] of durations) {
  test(`duration ${JSON.stringify(text)} is ${milliseconds ?? 'refused'}`, () => {
    const result = parseDuration(text);
    assert.equal(result.ok ? result.value : null, milliseconds);
  });
}

const sizes: readonly [text: string, bytes: number | null][] = [
  ['0', 0],
  ['1500', 1500],
  ['512KiB', 524_288],
  ['50MiB', 52_428_800],
  ['2GiB', 2_147_483_648],
  ['50MB', null],
  ['50mib', null],
  ['-1', null],
  ['1.5MiB', null],
  ['999999999999999TiB', null],
];
for (const [text, bytes] of sizes) {
  test(`size ${JSON.stringify(text)} is ${bytes ?? 'refused'}`, () => {
    const result = parseSize(text);
    assert.equal(result.ok ? result.value : null, bytes);
  });
}

const range = (text: string): AddressRange => {
  const result = parseRange(text);
  assert.ok(result.ok, text);
  return result.value;
};

const ranges: readonly [text: string, canonical: string][] = [
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['10.0.0.7', '10.0.0.7'],
  ['10.0.0.7/32', '10.0.0.7'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['2001:DB8:0::/32', '2001:db8::/32'],
  ['::/0', '::/0'],
  ['::1', '::1'],
  ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:200/120'],
  ['::192.0.2.1', '::192.0.2.1'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
];
for (const [text, canonical] of ranges) {
  test(`range ${text} is ${canonical}`, () => assert.equal(rangeText(range(text)), canonical));
}

test('a network is accepted exactly when no bit is set after its prefix', () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, prefix) => {
      const bits = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
      assert.equal(parseRange(`${address}/${prefix}`).ok, bits % 2 ** (32 - prefix) === 0);
    }),
  );
});

test('the network named for an IPv6 address with host bits is one that is accepted and holds the address', () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.integer({ min: 1, max: 128 }), (address, prefix) => {
      const result = parseRange(`${address}/${prefix}`);
      if (result.ok || result.error.right === null) return;
      const network = /the network is (\S+),/.exec(result.error.right)?.[1];
      if (network !== undefined) assert.ok(spansMeet(spanOf(range(network)), spanOf(range(address))));
    }),
  );
});

const overlaps: readonly [left: string, right: string, overlap: boolean][] = [
  ['10.0.0.0/8', '10.1.0.0/16', true],
  ['10.1.0.0/16', '10.0.0.0/8', true],
  ['10.0.0.0/9', '10.128.0.0/9', false],
  ['0.0.0.0/0', '::/0', false],
  ['2001:db8::/32', '2001:db8:1::1', true],
  ['2001:db8::/32', '2001:db9::/32', false],
];
for (const [left, right, overlap] of overlaps) {
  test(`${left} and ${right} ${overlap ? 'meet' : 'are apart'}`, () =>
    assert.equal(spansMeet(spanOf(range(left)), spanOf(range(right))), overlap));
}

test('endpoints are canonical', () => {
  for (const text of ['127.0.0.1:25', '[::]:25', '[2001:db8::1]:2525']) {
    const result = parseEndpoint(text);
    assert.ok(result.ok);
    assert.equal(endpointText(result.value), text);
  }
  assert.deepEqual(parseEndpoint('[0:0::1]:25'), ok({ host: '::1', port: 25 }));
});

test('only 127.0.0.0/8 and ::1 are loopback', () => {
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '128.0.0.1', '::', '127.example'].map(isLoopback), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});

const hops: readonly [text: string, canonical: string][] = [
  ['smtp.example', 'smtp.example:25'],
  ['SMTP.Example.:2525', 'smtp.example:2525'],
  ['192.0.2.7', '[192.0.2.7]:25'],
  ['192.0.2.7:26', '[192.0.2.7]:26'],
  ['[192.0.2.7]:2525', '[192.0.2.7]:2525'],
  ['[2001:DB8::1]', '[2001:db8::1]:25'],
  ['mx:partner.example', 'mx:partner.example:25'],
  ['mx:partner.example:2525', 'mx:partner.example:2525'],
  ['localhost', 'localhost:25'],
];
for (const [text, canonical] of hops) {
  test(`next hop ${text} is ${canonical}`, () => {
    const hop = parseNextHop(text);
    assert.ok(hop.ok);
    assert.equal(nextHopText(hop.value), canonical);
    assert.deepEqual(parseNextHop(canonical), hop);
  });
}

const patterns: readonly [text: string, canonical: string][] = [
  ['*', '*'],
  ['EXAMPLE.org.', 'example.org'],
  ['*.Example.org', '*.example.org'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['[192.0.2.1]', '[192.0.2.1]'],
];
for (const [text, canonical] of patterns) {
  test(`pattern ${text} is ${canonical}`, () => {
    const pattern = parseDomainPattern(text);
    assert.ok(pattern.ok);
    assert.equal(domainPatternText(pattern.value), canonical);
  });
}

test('a pattern that covers another matches whatever the other matches', () => {
  const label = fc.constantFrom('a', 'b', 'c');
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
  const pattern = fc
    .oneof(
      name,
      name.map((domain) => `*.${domain}`),
      fc.constant('*'),
    )
    .map(parseDomainPattern);
  fc.assert(
    fc.property(pattern, pattern, name.map(parseDomainPattern), (wide, narrow, domain) => {
      if (!wide.ok || !narrow.ok || !domain.ok || domain.value.kind !== 'exact') return;
      if (covers(wide.value, narrow.value) && matchesDomain(narrow.value, domain.value.domain)) {
        assert.ok(matchesDomain(wide.value, domain.value.domain));
      }
      assert.equal(coverOf([wide.value])(narrow.value), covers(wide.value, narrow.value));
    }),
  );
});

test('the edit distance counts swapped neighbours once', () => {
  assert.deepEqual(
    [editDistance('', ''), editDistance('abc', ''), editDistance('limits', 'limtis'), editDistance('port', 'host')],
    [0, 3, 1, 2],
  );
});

test('suggestions ignore case and hyphens and are near', () => {
  const known = ['messageSize', 'hops', 'connections'];
  assert.deepEqual(
    ['message_size', 'MESSAGESIZE', 'hop', 'conections', 'colour', 'q'].map((word) => nearest(word, known)),
    ['messageSize', 'messageSize', 'hops', 'connections', null, null],
  );
});

test('paths are written as people write them, and nothing in them moves a cursor', () => {
  assert.equal(formatPath([]), '');
  assert.equal(formatPath(['outbound', 0, 'tls', 'mode']), 'outbound[0].tls.mode');
  assert.equal(formatPath(['a.b', 'x']), '["a.b"].x');
  assert.equal(quoted('\u001b[31m\u009b\u202e'), '"\\u001b[31m\\u009b\\u202e"');
});
