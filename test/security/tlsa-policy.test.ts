import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TlsaRecord } from '../../src/domain/peer.ts';
import { spkiDer } from '../../src/security/spki-format.ts';
import { MAX_TLSA_RECORDS, usableRecords } from '../../src/security/tlsa-policy.ts';
import { createAuthority } from '../support/certificates.ts';

const certificate = new X509Certificate(createAuthority('DANE').issue({ names: ['mx.test'] }).cert);
const DATA: Readonly<Record<string, string>> = {
  sha256: 'ab'.repeat(32),
  sha512: 'cd'.repeat(64),
  cert: certificate.raw.toString('hex'),
  key: spkiDer(certificate).toString('hex'),
  short: 'ab'.repeat(31),
  long: 'ab'.repeat(65),
  none: '',
};
const parse = (text: string): TlsaRecord => {
  const [usage, selector, matchingType, data = ''] = text.split(' ');
  return { usage: Number(usage), selector: Number(selector), matchingType: Number(matchingType), data: DATA[data] ?? data };
};
const print = ({ usage, selector, matchingType, data }: TlsaRecord): string =>
  `${usage} ${selector} ${matchingType} ${Object.entries(DATA).find(([, value]) => value === data)?.[0] ?? data}`;

const usable = new Set([
  ...['2', '3'].flatMap((usage) =>
    ['0', '1'].flatMap((selector) => [`${usage} ${selector} 1 sha256`, `${usage} ${selector} 2 sha512`]),
  ),
  ...['2 0 0 cert', '3 0 0 cert', '2 1 0 key', '3 1 0 key'],
]);
test('of every usage, selector, matching type and data exactly these are usable', () => {
  const range = [0, 1, 2, 3, 4, 255];
  let seen = 0;
  for (const usage of range)
    for (const selector of range)
      for (const matchingType of range)
        for (const data of Object.keys(DATA)) {
          const text = `${usage} ${selector} ${matchingType} ${data}`;
          assert.equal(usableRecords([parse(text)]).length === 1, usable.has(text), text);
          seen += 1;
        }
  assert.equal(seen, 6 ** 3 * 7);
});

const rows: readonly (readonly [what: string, records: readonly string[], used: readonly string[]])[] = [
  ['nothing', [], []],
  ['PKIX usages only', ['0 1 1 sha256', '1 1 1 sha256'], []],
  ['PKIX beside DANE-EE', ['1 1 1 sha256', '3 1 1 sha256'], ['3 1 1 sha256']],
  ['the stronger digest of one usage and selector', ['3 1 1 sha256', '3 1 2 sha512'], ['3 1 2 sha512']],
  ['of another selector it does not count', ['3 0 2 sha512', '3 1 1 sha256'], ['3 0 2 sha512', '3 1 1 sha256']],
  ['of another usage it does not count', ['2 1 2 sha512', '3 1 1 sha256'], ['3 1 1 sha256', '2 1 2 sha512']],
  ['a stronger digest that is malformed does not count', ['3 1 1 sha256', '3 1 2 short'], ['3 1 1 sha256']],
  ['a digest unknown to us does not count', ['3 1 1 sha256', '3 1 3 long'], ['3 1 1 sha256']],
  ['whole keys always count', ['3 1 0 key', '3 1 1 sha256', '3 1 2 sha512'], ['3 1 0 key', '3 1 2 sha512']],
  ['DANE-EE comes first', ['2 0 1 sha256', '3 1 1 sha256'], ['3 1 1 sha256', '2 0 1 sha256']],
  ['each once', ['3 1 1 sha256', '3 1 1 sha256'], ['3 1 1 sha256']],
];
for (const [what, records, used] of rows) {
  test(`TLSA: ${what}: ${used.join(', ') || 'none'}`, () => assert.deepEqual(usableRecords(records.map(parse)).map(print), used));
}

test('a certificate with bytes behind it is not well-formed', () => {
  assert.deepEqual(usableRecords([parse(`3 0 0 ${DATA.cert}00`)]), []);
});

const digests = fc.array(
  fc.record({
    usage: fc.constantFrom(0, 2, 3),
    selector: fc.constantFrom(0, 1, 2),
    matchingType: fc.constantFrom(1, 2),
    data: fc.constantFrom(DATA.sha256 ?? '', DATA.sha512 ?? '', 'ef'.repeat(32)),
  }),
  { maxLength: 20 },
);
test('the order in which records come means nothing; using them again changes nothing; some usable record is always kept', () => {
  fc.assert(
    fc.property(digests, (generated) => {
      const records = generated.map((record) => ({ ...record }));
      const used = usableRecords(records);
      assert.deepEqual(usableRecords(records.toReversed()), used);
      assert.deepEqual(usableRecords(used), used);
      assert.equal(
        used.length > 0,
        records.some((record) => usableRecords([record]).length === 1),
      );
    }),
  );
});

test('a zone gone astray costs no more than so many', () => {
  const records = Array.from({ length: 200 }, (_, n) => parse(`3 1 1 ${n.toString(16).padStart(64, '0')}`));
  assert.equal(usableRecords(records).length, MAX_TLSA_RECORDS);
});
