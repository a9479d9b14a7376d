/** The fingerprint of a public key, as pins and TLSA records name it. */
import { createHash, type X509Certificate } from 'node:crypto';
import type { SpkiHash } from '../domain/peer.ts';

/** The DER of a certificate's SubjectPublicKeyInfo. */
export const spkiDer = (certificate: X509Certificate): Buffer => certificate.publicKey.export({ type: 'spki', format: 'der' });

/** SHA-256 over it, lower-case hex. */
export const spkiHash = (certificate: X509Certificate): SpkiHash =>
  createHash('sha256').update(spkiDer(certificate)).digest('hex') as SpkiHash;

/** `sha256:…` in hex (colons allowed) or base64, as configuration writes pins; null where it is neither. */
export function parsePin(text: string): SpkiHash | null {
  const match = /^sha256:(.+)$/i.exec(text.trim());
  const value = match?.[1] ?? '';
  const hex = value.replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex as SpkiHash;
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(value)) return null;
  return Buffer.from(value, 'base64').toString('hex') as SpkiHash;
}
