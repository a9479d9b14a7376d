import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { DnsAnswer, MxRecord } from '../../src/domain/dns.ts';
import { addressProof, mxProof } from '../../src/routing/proof-policy.ts';

const records = <T>(secure: boolean, canonicalName: string, record: T): DnsAnswer<T> => ({
  kind: 'records',
  records: [record],
  secure,
  ttlSeconds: 60,
  canonicalName,
});
const absent = (secure: boolean): DnsAnswer<never> => ({ kind: 'absent', nxdomain: false, secure, ttlSeconds: 60 });
const MX: MxRecord = { preference: 0, exchange: 'mx.test' };

const mxRows: readonly (readonly [what: string, answer: DnsAnswer<MxRecord>, secure: boolean, names: string])[] = [
  ['secure records', records(true, 'a.test', MX), true, 'a.test'],
  ['insecure records', records(false, 'a.test', MX), false, 'a.test'],
  ['secure records of an alias', records(true, 'b.test', MX), true, 'a.test b.test'],
  ['an alias that leads to no host name', records(true, 'b?.test', MX), true, 'a.test'],
  ['securely none', absent(true), true, 'a.test'],
  ['none, but who knows', absent(false), false, 'a.test'],
  ['bogus', { kind: 'bogus' }, false, 'a.test'],
  ['unknown', { kind: 'unknown', problem: 'servfail' }, false, 'a.test'],
];
for (const [what, answer, secure, names] of mxRows) {
  test(`MX: ${what}: ${secure ? 'secure' : 'insecure'}, names ${names}`, () => {
    assert.deepEqual(mxProof('a.test' as Domain, answer), { mxSecure: secure, nextHopNames: names.split(' ') });
  });
}

const A: Readonly<Record<string, DnsAnswer<string>>> = {
  secure: records(true, 'end.test', '192.0.2.1'),
  insecure: records(false, 'other.test', '192.0.2.1'),
  absent: absent(true),
  'absent-insecure': absent(false),
  bogus: { kind: 'bogus' },
  unknown: { kind: 'unknown', problem: 'timeout' },
};
test('addresses: every pair of A and AAAA', () => {
  for (const [a, first] of Object.entries(A))
    for (const [aaaa, second] of Object.entries(A)) {
      const secure = a === 'secure' || aaaa === 'secure';
      const insecure = a === 'insecure' || aaaa === 'insecure';
      const canonicalName = secure ? 'end.test' : insecure ? 'other.test' : null;
      assert.deepEqual(addressProof([first, second]), { addressesSecure: secure, canonicalName }, `A ${a}, AAAA ${aaaa}`);
    }
});
