/**
 * The text of queue ids: 48 bits of time and 80 of chance in Crockford's base 32, 26 characters, sortable by time.
 */
import type { Instant } from './basics.ts';
import type { QueueId } from './envelope.ts';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const FORM = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Octets of chance in an id. */
export const QUEUE_ID_CHANCE = 10;

/** The id for a moment and ten octets of chance, taken from `chance` at `at`. */
export function queueIdFrom(now: Instant, chance: Uint8Array, at = 0): QueueId {
  let text = '';
  for (let rest = now, place = 0; place < 10; place += 1) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32) as Instant;
  }
  for (let bits = 0, held = 0, place = 0; place < QUEUE_ID_CHANCE; place += 1) {
    held = (held << 8) | (chance[at + place] ?? 0);
    for (bits += 8; bits >= 5; held &= (1 << bits) - 1) {
      bits -= 5;
      text += ALPHABET.charAt(held >> bits);
    }
  }
  return text as QueueId;
}

/** The moment an id was made. */
export function queueIdTime(id: QueueId): Instant {
  let time = 0;
  for (let place = 0; place < 10; place += 1) time = time * 32 + ALPHABET.indexOf(id.charAt(place));
  return time as Instant;
}

/** The id a user wrote, in either case, or null where it cannot be one. */
export function parseQueueId(text: string): QueueId | null {
  const upper = text.toUpperCase();
  return FORM.test(upper) ? (upper as QueueId) : null;
}
