/**
 * Whether a name server validates DNSSEC, told by two questions whose right answers are known without a third party. Pure.
 */
import type { DnsAnswer } from '../domain/dns.ts';

/** A name of the root zone, which is signed (RFC 3172); that it has no MX records is proven, too. */
export const SIGNED_NAME = 'arpa';
/** A name that can never be secure: its delegation is unsigned by decree (RFC 8375, section 7). */
export const UNSIGNED_NAME = 'home.arpa';

/** How a name server deals with DNSSEC. */
export type Validation =
  | 'validates'
  | 'does-not-validate'
  /** It sets the AD bit on what cannot be secure: the bit says nothing there. */
  | 'vouches-for-anything'
  /** It finds the root zone itself bogus. */
  | 'fails-at-the-root'
  | 'unknown';

/** What the answers to both questions tell, asked of one server as if it were trusted. */
export function judgeValidation(signed: DnsAnswer<unknown>, unsigned: DnsAnswer<unknown>): Validation {
  if (isSecure(unsigned)) return 'vouches-for-anything';
  switch (signed.kind) {
    case 'bogus':
      return 'fails-at-the-root';
    case 'unknown':
      return 'unknown';
    case 'records':
    case 'absent':
      return signed.secure ? 'validates' : 'does-not-validate';
  }
}

const isSecure = (answer: DnsAnswer<unknown>): boolean =>
  (answer.kind === 'records' || answer.kind === 'absent') && answer.secure;
