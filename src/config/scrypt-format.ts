/**
 * Password hashes as the configuration keeps them: `$scrypt$ln=15,r=8,p=1$SALT$HASH`, base64 without padding (the PHC string format).
 * The costs are bounded: too cheap a hash is no protection, too dear a one lets every login attempt stall the relay.
 */
import { ok, type Result } from '../domain/basics.ts';
import type { ScryptHash } from '../domain/user.ts';
import { type Refusal, refuse } from './refusal.ts';

const FORM = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{1,128}={0,2})\$([A-Za-z0-9+/]{1,128}={0,2})$/;

/** N·r·p: from N=2^13 with r=8 to four times N=2^15 with r=8. */
const WORK = { least: 2 ** 16, most: 2 ** 20 };
/** N·r, 128 bytes each: 64 MiB for one login attempt. */
const MOST_MEMORY = 2 ** 19;
const SALT_BYTES = { least: 8, most: 64 };
const HASH_BYTES = { least: 16, most: 64 };

/** The bytes of a base64 text in its one spelling, or null. */
function decode(text: string, { least, most }: { readonly least: number; readonly most: number }): string | null {
  const bare = text.replace(/=+$/, '');
  const bytes = Buffer.from(bare, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== bare) return null;
  return bytes.length >= least && bytes.length <= most ? bytes.toString('base64') : null;
}

/** The hash of a password, or why the text is none that may be used. */
export function parseScrypt(text: string): Result<ScryptHash, Refusal> {
  const match = FORM.exec(text);
  if (match === null) return refuse('is no scrypt hash; "postern hash-password" makes one, like "$scrypt$ln=15,r=8,p=1$…$…"');
  const [logN, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const salt = decode(match[4] ?? '', SALT_BYTES);
  const hash = decode(match[5] ?? '', HASH_BYTES);
  if (salt === null) return refuse(`has no salt of ${SALT_BYTES.least} to ${SALT_BYTES.most} bytes in base64`);
  if (hash === null) return refuse(`has no hash of ${HASH_BYTES.least} to ${HASH_BYTES.most} bytes in base64`);
  const work = 2 ** logN * r * p;
  if (work < WORK.least) return refuse('is too cheap to protect a password; use at least ln=13,r=8,p=1');
  if (work > WORK.most || 2 ** logN * r > MOST_MEMORY)
    return refuse('is so dear that login attempts would stall the relay; use at most ln=16,r=8,p=2');
  return ok({ logN, r, p, salt, hash });
}

/** The hash as the configuration writes it. */
export function scryptText({ logN, r, p, salt, hash }: ScryptHash): string {
  const bare = (text: string): string => text.replace(/=+$/, '');
  return `$scrypt$ln=${logN},r=${r},p=${p}$${bare(salt)}$${bare(hash)}`;
}
