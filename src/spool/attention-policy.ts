/** When a recipient that was queued without ever having been tried is looked at, though its destination is down. */
import { after, type Instant, type Milliseconds } from '../domain/basics.ts';

/** The spool knows no schedule; whoever looks knows the message's own and sets the next time by it. */
export const UNTRIED_ATTENTION_AFTER: Milliseconds = 3_600_000;

/** The attention time of a recipient never tried. */
export const untriedAttention = (receivedAt: Instant): Instant => after(receivedAt, UNTRIED_ATTENTION_AFTER);
