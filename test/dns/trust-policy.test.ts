import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { believed, type DnssecMode, trustsAuthenticData } from '../../src/dns/trust-policy.ts';

const rows: readonly (readonly [server: string, mode: DnssecMode, trusted: boolean])[] = [
  ['127.0.0.1', 'auto', true],
  ['127.0.0.53', 'auto', true],
  ['::1', 'auto', true],
  ['::ffff:127.0.0.1', 'auto', true],
  ['127.0.0.11', 'auto', false],
  ['127.0.0.54', 'auto', false],
  ['192.0.2.1', 'auto', false],
  ['10.0.0.1', 'auto', false],
  ['2001:db8::1', 'auto', false],
  ['192.0.2.1', 'trust', true],
  ['127.0.0.11', 'trust', true],
  ['127.0.0.1', 'off', false],
  ['192.0.2.1', 'off', false],
];
for (const [server, mode, trusted] of rows) {
  test(`dnssec ${mode}: the AD bit of ${server} ${trusted ? 'counts' : 'means nothing'}`, () => {
    assert.equal(trustsAuthenticData(server, mode), trusted);
  });
}

const mixtures: readonly (readonly [servers: readonly string[], mode: DnssecMode, asked: readonly string[]])[] = [
  [['127.0.0.1', '192.0.2.1'], 'auto', ['127.0.0.1']],
  [['192.0.2.1', '::1', '127.0.0.53'], 'auto', ['::1', '127.0.0.53']],
  [['192.0.2.1', '192.0.2.2'], 'auto', ['192.0.2.1', '192.0.2.2']],
  [['127.0.0.1', '192.0.2.1'], 'trust', ['127.0.0.1', '192.0.2.1']],
  [['127.0.0.1', '192.0.2.1'], 'off', ['127.0.0.1', '192.0.2.1']],
  [[], 'auto', []],
];
for (const [servers, mode, asked] of mixtures) {
  test(`dnssec ${mode}: of ${servers.join(' ') || 'none'} are asked ${asked.join(' ') || 'none'}`, () => {
    const found = believed(
      servers.map((address) => ({ address })),
      mode,
    );
    assert.deepEqual(
      found.map(({ address }) => address),
      asked,
    );
  });
}
