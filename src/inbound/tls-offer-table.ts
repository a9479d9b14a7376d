/**
 * What our listeners offer in a TLS handshake. A peer that reaches none of these rows sends in plaintext or not at all, so RSA key
 * exchange stays as the last resort; NULL, anonymous, export, 3DES, RC4, DES and MD5 suites stand in no row. RFC 9325, RFC 7435.
 */

/** OpenSSL cipher list, in our order of preference. */
export const OFFERED_CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-SHA384',
  'ECDHE-RSA-AES256-SHA384',
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
  'AES256-SHA',
  'AES128-SHA',
].join(':');

/** OpenSSL group list. One tuple: the share the client sent wins over our order, so no second round trip is asked for. */
export const OFFERED_GROUPS = 'X25519MLKEM768:X25519:P-256:P-384:P-521';
