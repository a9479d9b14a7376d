/** OpenSSL's verdicts on a chain in our words. RFC 5280, section 6. */
import type { UntrustedReason } from '../domain/peer.ts';

const REASONS: Readonly<Record<string, UntrustedReason>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown-issuer',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown-issuer',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown-issuer',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown-issuer',
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  CERT_REVOKED: 'revoked',
  INVALID_PURPOSE: 'wrong-purpose',
};

/** The reason behind a verification code such as `CERT_HAS_EXPIRED`; what is not listed is 'other' and just as untrusted. */
export const untrustedReason = (code: string): UntrustedReason => REASONS[code] ?? 'other';
