/** Whether a key can sign as DKIM (RFC 6376; RFC 8301 on sizes). Pure. */
import { createPrivateKey } from 'node:crypto';

/** Verifiers take no less (RFC 8301, section 3.2). */
const FEWEST_BITS = 1024;

/** Why the PEM text holds no key to sign with, to follow the name of its file; null where it does. */
export function dkimKeyProblem(pem: string): string | null {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== 'rsa') return 'is no RSA key, and this relay signs with RSA only';
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    return bits < FEWEST_BITS ? `is an RSA key of ${bits} bits; verifiers want at least 1024, better 2048` : null;
  } catch {
    return 'holds no private key in PEM, or an encrypted one';
  }
}
