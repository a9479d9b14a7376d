/**
 * The log's port: what happened, as an event and its facts. Types only; platform/log.ts writes the lines.
 * Log at the edge, once an outcome; no secrets, no message content.
 */

/** Levels that a line can have, least urgent first. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** Facts of an event. `from` and `to` hold addresses; `text` a sentence for humans. Undefined fields are left out. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes one line an event. The event comes first, its fields in the order given. Never throws. */
export type Logger = {
  debug(event: string, fields: LogFields): void;
  info(event: string, fields: LogFields): void;
  warn(event: string, fields: LogFields): void;
  error(event: string, fields: LogFields): void;
};
