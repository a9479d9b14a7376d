/**
 * Makes queue ids from the clock and the system's randomness, drawn in blocks: a call for ten octets costs as much as one for thousands.
 */
import { randomFillSync } from 'node:crypto';
import type { Clock } from '../domain/basics.ts';
import type { QueueId } from '../domain/envelope.ts';
import { QUEUE_ID_CHANCE, queueIdFrom } from '../domain/queue-id.ts';

const BLOCK = QUEUE_ID_CHANCE * 400;

/** A source of ids that never repeats one. */
export function openQueueIds(clock: Clock): () => QueueId {
  const chance = new Uint8Array(BLOCK);
  let at = BLOCK;
  return () => {
    if (at === BLOCK) {
      randomFillSync(chance);
      at = 0;
    }
    const id = queueIdFrom(clock.now(), chance, at);
    at += QUEUE_ID_CHANCE;
    return id;
  };
}
