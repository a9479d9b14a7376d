/**
 * What each TLS rung offers (interface.md, section 4): the ladder as a table to be read beside RFC 9325.
 * OpenSSL names, in order of preference. TLS 1.0/1.1, RC4, 3DES, export, anonymous and NULL suites stand in no row.
 */
import type { TlsRung } from '../domain/tls.ts';

/** One rung's ClientHello. */
export type RungOffer = {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL cipher string, TLS 1.3 suites included where they are offered. */
  readonly ciphers: string;
  /** OpenSSL group list; the first one's key share is sent. */
  readonly groups: string;
};

const TLS13 = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];
const ECDHE_AEAD = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
];
const DHE_AEAD = ['DHE-RSA-AES256-GCM-SHA384', 'DHE-RSA-CHACHA20-POLY1305', 'DHE-RSA-AES128-GCM-SHA256'];
const ECDHE_CBC = [
  'ECDHE-ECDSA-AES256-SHA384',
  'ECDHE-RSA-AES256-SHA384',
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
];
const DHE_CBC = ['DHE-RSA-AES256-SHA256', 'DHE-RSA-AES128-SHA256'];
/** HMAC-SHA1 in a suite's name, ECDHE and DHE. */
const SHA1_MAC = [
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'DHE-RSA-AES256-SHA',
  'DHE-RSA-AES128-SHA',
];
/** RSA key exchange: no forward secrecy, still better than plaintext. */
const RSA_KEY_EXCHANGE = ['AES256-GCM-SHA384', 'AES128-GCM-SHA256', 'AES256-SHA256', 'AES128-SHA256', 'AES256-SHA', 'AES128-SHA'];

/** Without the post-quantum group: the ClientHello stays well within one segment. */
const CLASSIC_GROUPS = 'X25519:P-256:P-384:P-521:ffdhe2048:ffdhe3072';

export const RUNG_TABLE: Readonly<Record<TlsRung, RungOffer>> = {
  modern: {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [...TLS13, ...ECDHE_AEAD].join(':'),
    // X25519 first: its small key share goes out; a server that prefers the hybrid group asks for it (HelloRetryRequest).
    groups: 'X25519:X25519MLKEM768:P-256:P-384',
  },
  compatible: {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: [...ECDHE_AEAD, ...DHE_AEAD, ...ECDHE_CBC, ...DHE_CBC].join(':'),
    groups: CLASSIC_GROUPS,
  },
  legacy: {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: [...ECDHE_AEAD, ...DHE_AEAD, ...ECDHE_CBC, ...DHE_CBC, ...SHA1_MAC, ...RSA_KEY_EXCHANGE, '@SECLEVEL=1'].join(':'),
    groups: CLASSIC_GROUPS,
  },
};

/** The offer of a rung under a floor: where `tls.minVersion` leaves nothing of it, null. */
export function rungOffer(rung: TlsRung, minVersion: 'TLSv1.2' | 'TLSv1.3'): RungOffer | null {
  const offer = RUNG_TABLE[rung];
  if (minVersion === 'TLSv1.2') return offer;
  return offer.maxVersion === 'TLSv1.3' ? { ...offer, minVersion: 'TLSv1.3' } : null;
}
