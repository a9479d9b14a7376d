/** Schema 3: when a recipient must be looked at even if its destination is down, so that notices and expiry come on time. */

/**
 * `attention` stays NULL while a message that is delivered at once lives, and is set whenever a recipient is queued. The index
 * holds what waits, and nothing else.
 */
export const ATTENTION_0003 = `
ALTER TABLE recipients ADD COLUMN attention INTEGER;
UPDATE recipients SET attention = (SELECT received_at FROM messages WHERE id = message_id) + 3600000 WHERE state IN (0, 2);
CREATE INDEX recipients_attention ON recipients (domain, attention, message_id) WHERE state = 0;
`;
