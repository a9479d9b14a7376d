/** Which certificate a receiver shows, by kind. */
import type { Authority, CertificateRequest, IssuedCertificate } from '../certificates.ts';
import type { CertificateKind, TlsConduct } from './behaviour.ts';

const LAST_YEAR = { notBefore: new Date(Date.UTC(2024, 0, 1)), notAfter: new Date(Date.UTC(2025, 0, 1)) };

const REQUESTS: Readonly<Record<CertificateKind, (hostname: string) => CertificateRequest>> = {
  valid: (hostname) => ({ names: [hostname] }),
  'self-signed': (hostname) => ({ names: [hostname], selfSigned: true }),
  expired: (hostname) => ({ names: [hostname], ...LAST_YEAR }),
  'wrong-name': () => ({ names: ['elsewhere.example'] }),
};

/** The certificate for a receiver of that name. */
export const labCertificate = (tls: TlsConduct, hostname: string, authority: Authority): IssuedCertificate =>
  authority.issue({ ...REQUESTS[tls.certificate](hostname), keyType: tls.keyType });
