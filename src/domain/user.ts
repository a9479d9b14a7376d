/**
 * Who may log in: a name, a password hash and the addresses the user may send from.
 */
import type { DomainPattern } from './connector.ts';

/** A scrypt hash (RFC 7914) and how it was made: cost 2^logN, block size r, parallelization p; salt and hash in base64. */
export type ScryptHash = {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
  readonly salt: string;
  readonly hash: string;
};

/** Addresses someone may send from. `localPart` null: any; else compared without regard to case. */
export type SenderPattern = { readonly localPart: string | null; readonly domain: DomainPattern };

/** Someone who may log in. */
export type UserConfig = {
  readonly name: string;
  readonly password: ScryptHash;
  /** Empty: any reverse-path. */
  readonly senders: readonly SenderPattern[];
};
