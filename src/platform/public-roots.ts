/** The roots that come with Node (Mozilla's list): what most machines trust. */
import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';

/** The public root that issued a certificate, proven by its signature; null where none did. */
export function publicRootOf(certificate: X509Certificate): X509Certificate | null {
  for (const pem of rootCertificates) {
    const root = new X509Certificate(pem);
    if (root.subject === certificate.issuer && certificate.verify(root.publicKey)) return root;
  }
  return null;
}
