/**
 * Receivers that differ in TLS: versions, suites, certificates, and everything that can go wrong between STARTTLS and the EHLO
 * inside TLS. All of them take mail in the clear, too, so that a plaintext delivery shows wherever one happens.
 */
import { type BehaviourRow, CLOSE, say } from './behaviour.ts';

const ONLY_TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
const DELIVERS = 'delivers over TLS';
const FALLS_BACK = 'delivers in the clear on a new connection, after the last rung';
const SAME_CONNECTION = 'delivers in the clear on the same connection';
const DEFERS = 'defers 4.4.317; nothing of the message in the clear';

/** Rows by name. */
export const TLS_BEHAVIOURS = {
  tls13: {
    does: 'TLS 1.3 only',
    opportunistic: 'delivers over TLS 1.3, rung modern',
    encrypt: 'delivers over TLS 1.3, rung modern',
    tls: { minVersion: 'TLSv1.3' },
  },
  'tls12-only': {
    does: 'TLS 1.2 only, ECDHE with AES-GCM or ChaCha20',
    opportunistic: 'delivers over TLS 1.2, rung modern',
    encrypt: 'delivers over TLS 1.2, rung modern',
    tls: { ...ONLY_TLS12, ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20' },
  },
  'ecdhe-cbc-only': {
    does: 'TLS 1.2 only, ECDHE with AES-CBC and SHA-2',
    opportunistic: 'delivers over TLS 1.2, rung compatible',
    encrypt: 'delivers over TLS 1.2, rung compatible',
    tls: { ...ONLY_TLS12, keyType: 'rsa', ciphers: 'ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384' },
  },
  'rsa-kx-only': {
    does: 'TLS 1.2 only, RSA key exchange (AES128-SHA256, AES256-GCM-SHA384)',
    opportunistic: 'delivers over TLS 1.2, rung legacy',
    encrypt: 'delivers over TLS 1.2, rung legacy',
    tls: { ...ONLY_TLS12, keyType: 'rsa', ciphers: 'AES128-SHA256:AES256-GCM-SHA384' },
  },
  'sha1-mac-only': {
    does: 'TLS 1.2 only, RSA key exchange with a SHA-1 MAC (AES128-SHA)',
    opportunistic: 'delivers over TLS 1.2, rung legacy',
    encrypt: 'delivers over TLS 1.2, rung legacy',
    tls: { ...ONLY_TLS12, keyType: 'rsa', ciphers: 'AES128-SHA:@SECLEVEL=0' },
  },
  'tls10-only': {
    does: 'TLS 1.0 only',
    opportunistic: FALLS_BACK,
    encrypt: DEFERS,
    tls: { minVersion: 'TLSv1', maxVersion: 'TLSv1', keyType: 'rsa', ciphers: 'ALL:@SECLEVEL=0' },
  },
  'starttls-absent': {
    does: 'does not offer STARTTLS',
    opportunistic: SAME_CONNECTION,
    encrypt: DEFERS,
    tls: { start: 'absent' },
  },
  'starttls-454': {
    does: 'offers STARTTLS, answers it 454',
    opportunistic: SAME_CONNECTION,
    encrypt: DEFERS,
    answers: { starttls: () => say('454 4.7.0 TLS not available due to temporary reason') },
  },
  'starttls-502': {
    does: 'offers STARTTLS, answers it 502',
    opportunistic: SAME_CONNECTION,
    encrypt: DEFERS,
    answers: { starttls: () => say('502 5.5.1 command not implemented') },
  },
  'garbage-after-220': {
    does: 'sends bytes that are no TLS after the 220',
    opportunistic: FALLS_BACK,
    encrypt: DEFERS,
    tls: { handshake: 'garbage' },
  },
  'close-after-220': { does: 'closes after the 220', opportunistic: FALLS_BACK, encrypt: DEFERS, tls: { handshake: 'close' } },
  'reset-after-220': { does: 'resets after the 220', opportunistic: FALLS_BACK, encrypt: DEFERS, tls: { handshake: 'reset' } },
  'handshake-alert': {
    does: 'answers the ClientHello with a fatal handshake_failure alert',
    opportunistic: FALLS_BACK,
    encrypt: DEFERS,
    tls: { handshake: 'alert' },
  },
  'handshake-stall': {
    does: 'reads the ClientHello and never answers',
    opportunistic: `${FALLS_BACK}; each rung costs one handshake timeout`,
    encrypt: DEFERS,
    tls: { handshake: 'stall' },
  },
  'starttls-injection': {
    does: 'sends a reply in the clear in the same segment as the 220 (CVE-2021-38371)',
    opportunistic: 'drops the connection; never takes the injected reply for one given inside TLS',
    encrypt: DEFERS,
    tls: { handshake: 'inject' },
  },
  'tls-ehlo-drop': {
    does: 'shakes hands, closes before answering the EHLO inside TLS',
    opportunistic: FALLS_BACK,
    encrypt: DEFERS,
    answers: { ehlo: ({ secure }) => (secure ? CLOSE : null) },
  },
  'large-hello-intolerant': {
    does: 'resets when the ClientHello is larger than a limit (256 octets by default)',
    opportunistic: 'delivers over TLS, on the first rung whose ClientHello is small enough (compatible)',
    encrypt: 'delivers over TLS, on the first rung whose ClientHello is small enough (compatible)',
    tls: { handshake: 'refuse-large-hello' },
  },
  'self-signed': {
    does: 'shows a self-signed certificate',
    opportunistic: DELIVERS,
    encrypt: DELIVERS,
    tls: { certificate: 'self-signed' },
  },
  'expired-certificate': {
    does: 'shows an expired certificate',
    opportunistic: DELIVERS,
    encrypt: DELIVERS,
    tls: { certificate: 'expired' },
  },
  'wrong-name': {
    does: 'shows a certificate for elsewhere.example',
    opportunistic: DELIVERS,
    encrypt: DELIVERS,
    tls: { certificate: 'wrong-name' },
  },
  'client-certificate-required': {
    does: 'asks for a client certificate and breaks off the handshake without one',
    opportunistic: 'delivers over TLS where a client certificate is configured (or any certificate), else in the clear',
    encrypt: 'delivers over TLS where a client certificate is configured (or any certificate), else defers 4.4.317',
    tls: { clientCertificate: 'required' },
  },
  'implicit-tls': {
    does: 'TLS from the first byte (route with tls: implicit)',
    opportunistic: DELIVERS,
    encrypt: DELIVERS,
    tls: { start: 'implicit' },
  },
} as const satisfies Readonly<Record<string, BehaviourRow>>;
