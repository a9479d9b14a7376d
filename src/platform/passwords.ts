/**
 * Makes and checks password hashes with scrypt (RFC 7914) in Node's thread pool. One at a time in each relay thread, and few that wait:
 * a flood of logins must neither fill the memory nor keep the pool from the files of the spool.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import type { ScryptHash } from '../domain/user.ts';

/** Logins that may wait for their turn. */
const MOST_WAITING = 50;
const USUAL = { logN: 15, r: 8, p: 1 };
const HASH_BYTES = 32;

/** Whether a password has a hash; null: too many are waiting. The time does not depend on the answer. */
export type PasswordCheck = (password: string, hash: ScryptHash) => Promise<boolean | null>;

type Costs = Pick<ScryptHash, 'logN' | 'r' | 'p'>;

function derive(password: string, salt: Buffer, length: number, { logN, r, p }: Costs): Promise<Buffer> {
  const N = 2 ** logN;
  const options: ScryptOptions = { N, r, p, maxmem: 128 * r * (N + p + 2) };
  return new Promise((resolve, reject) => {
    // One spelling of a character is as good as another: keyboards differ.
    scrypt(password.normalize('NFKC'), salt, length, options, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

/** The hash of a new password. */
export async function hashPassword(password: string): Promise<ScryptHash> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, HASH_BYTES, USUAL);
  return { ...USUAL, salt: salt.toString('base64'), hash: key.toString('base64') };
}

/** Checks one password after the other. */
export function openPasswordCheck(): PasswordCheck {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return async (password, hash) => {
    if (waiting >= MOST_WAITING) return null;
    waiting += 1;
    const mine = last.then(() => check(password, hash));
    last = mine.catch(() => undefined);
    try {
      return await mine;
    } finally {
      waiting -= 1;
    }
  };
}

async function check(password: string, given: ScryptHash): Promise<boolean> {
  const wanted = Buffer.from(given.hash, 'base64');
  return timingSafeEqual(await derive(password, Buffer.from(given.salt, 'base64'), wanted.length, given), wanted);
}
