/** A connection is shared only where every fact is equal: each fact changed alone changes the key. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import { type PoolKeyFacts, poolKey } from '../../src/transport/pool-key-policy.ts';

const base: PoolKeyFacts = {
  connector: 'a',
  host: 'mx.test' as Domain,
  address: '192.0.2.1',
  port: 25,
  sourceAddress: null,
  helo: 'relay.test' as Domain,
  minVersion: 'TLSv1.2',
  implicitTls: false,
  serverName: 'mx.test' as Domain,
  materials: 'a',
  policy: { plaintext: 'allowed', ladder: ['modern', 'compatible'], peer: [], because: [{ kind: 'default' }] },
};
const changes: readonly Partial<PoolKeyFacts>[] = [
  { connector: 'b' },
  { host: 'other.test' as Domain },
  { host: null },
  { address: '192.0.2.2' },
  { port: 2525 },
  { sourceAddress: '192.0.2.9' },
  { helo: 'else.test' as Domain },
  { minVersion: 'TLSv1.3' },
  { implicitTls: true },
  { serverName: null },
  { materials: 'b' },
  { policy: { ...base.policy, plaintext: 'never' } },
  { policy: { ...base.policy, ladder: ['modern'] } },
  { policy: { ...base.policy, peer: [{ kind: 'trusted' }] } },
  { policy: { ...base.policy, because: [{ kind: 'connector', name: 'a' }] } },
];
test('equal facts, equal key', () => assert.equal(poolKey({ ...base }), poolKey(base)));
for (const change of changes) {
  test(`another key with ${JSON.stringify(change)}`, () => assert.notEqual(poolKey({ ...base, ...change }), poolKey(base)));
}
test('every fact is in the table above', () => {
  const varied = new Set(changes.flatMap((change) => Object.keys(change)));
  assert.deepEqual([...varied].sort(), Object.keys(base).sort());
});
