/** The decision as a table: connector mode × floor × ladder. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import type { TlsMode, TlsRung } from '../../src/domain/tls.ts';
import { RUNG_TABLE, rungOffer } from '../../src/security/rung-table.ts';
import { decideTlsPolicy } from '../../src/security/tls-policy.ts';

const FULL: readonly TlsRung[] = ['modern', 'compatible', 'legacy'];
type Row = readonly [
  mode: TlsMode,
  floor: 'TLSv1.2' | 'TLSv1.3',
  ladder: readonly TlsRung[],
  plaintext: string,
  rungs: readonly TlsRung[],
];

describe('connector mode decides', () => {
  const rows: readonly Row[] = [
    ['opportunistic', 'TLSv1.2', FULL, 'allowed', FULL],
    ['opportunistic', 'TLSv1.3', FULL, 'allowed', ['modern']],
    ['opportunistic', 'TLSv1.2', ['modern'], 'allowed', ['modern']],
    ['encrypt', 'TLSv1.2', FULL, 'never', FULL],
    ['encrypt', 'TLSv1.3', FULL, 'never', ['modern']],
    ['encrypt', 'TLSv1.3', ['legacy'], 'never', []],
    ['trusted', 'TLSv1.2', FULL, 'never', FULL],
    ['verify', 'TLSv1.2', ['modern', 'compatible'], 'never', ['modern', 'compatible']],
    ['dane', 'TLSv1.2', FULL, 'never', FULL],
    ['plaintext', 'TLSv1.2', FULL, 'always', []],
    ['plaintext', 'TLSv1.3', FULL, 'always', []],
  ];
  for (const [mode, minVersion, ladder, plaintext, rungs] of rows) {
    test(`${mode}, floor ${minVersion}, ladder ${ladder.join('>')} -> plaintext ${plaintext}, ${rungs.join('>') || 'no TLS'}`, () => {
      const policy = decideTlsPolicy({ connector: { name: 'partner', tls: { mode, ladder } }, minVersion });
      assert.equal(policy.plaintext, plaintext);
      assert.deepEqual(policy.ladder, rungs);
      assert.deepEqual(policy.because, [{ kind: 'connector', name: 'partner' }]);
    });
  }
  test('the implicit connector is nobody’s wish', () => {
    const policy = decideTlsPolicy({
      connector: { name: 'default', tls: { mode: 'opportunistic', ladder: FULL } },
      minVersion: 'TLSv1.2',
    });
    assert.deepEqual(policy.because, [{ kind: 'default' }]);
  });
});

describe('the rung table', () => {
  for (const rung of FULL) {
    test(`${rung}: OpenSSL knows every name, and nothing weak stands in it`, () => {
      const offer = RUNG_TABLE[rung];
      assert.doesNotThrow(() =>
        createSecureContext({
          ciphers: offer.ciphers,
          ecdhCurve: offer.groups,
          minVersion: offer.minVersion,
          maxVersion: offer.maxVersion,
        }),
      );
      assert.doesNotMatch(offer.ciphers, /RC4|3DES|DES-|NULL|EXP|aNULL|ADH|AECDH|MD5|SEED|CAMELLIA|ARIA/);
      assert.ok(offer.minVersion >= 'TLSv1.2');
    });
  }
  test('only the modern rung speaks TLS 1.3 or offers the post-quantum group, and not as its key share', () => {
    assert.match(RUNG_TABLE.modern.groups, /^X25519:X25519MLKEM768/);
    assert.doesNotMatch(RUNG_TABLE.compatible.groups + RUNG_TABLE.legacy.groups, /MLKEM/);
    assert.equal(rungOffer('compatible', 'TLSv1.3'), null);
    assert.equal(rungOffer('modern', 'TLSv1.3')?.minVersion, 'TLSv1.3');
  });
});
