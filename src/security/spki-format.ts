/** The fingerprint of a public key, as pins and TLSA records name it. */
import { createHash, type X509Certificate } from 'node:crypto';
import type { SpkiHash } from '../domain/peer.ts';

/** The DER of a certificate's SubjectPublicKeyInfo. */
export const spkiDer = (certificate: X509Certificate): Buffer => certificate.publicKey.export({ type: 'spki', format: 'der' });

/** SHA-256 over it, lower-case hex. */
export const spkiHash = (certificate: X509Certificate): SpkiHash =>
  createHash('sha256').update(spkiDer(certificate)).digest('hex') as SpkiHash;
