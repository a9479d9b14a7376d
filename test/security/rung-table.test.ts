/** The rungs: nothing weak stands in them, and OpenSSL knows every name. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { createSecureContext } from 'node:tls';
import type { TlsRung } from '../../src/domain/tls.ts';
import { RUNG_TABLE, rungOffer } from '../../src/security/rung-table.ts';

const FULL: readonly TlsRung[] = ['modern', 'compatible', 'legacy'];

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
