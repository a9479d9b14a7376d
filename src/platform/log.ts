/**
 * The log on pino: one JSON line an event to standard output. Every thread has its own pino and its own line writer on the same descriptor:
 * nothing is posted between threads, and what a thread logged does not depend on another one's event loop.
 */
import { type LoggerOptions, pino } from 'pino';
import type { Clock } from '../domain/basics.ts';
import { escapeJson } from '../domain/escape.ts';
import type { LineWriter } from './line-writer.ts';
import { prettyLine } from './log-line-format.ts';
import { type AddressPrivacy, fieldsForLog } from './log-privacy-format.ts';
import type { LogFields, Logger, LogLevel } from './logger.ts';

/** What a log shows, as configured. */
export type LogSettings = { readonly level: LogLevel; readonly addresses: AddressPrivacy };

/** How a log is written. */
export type LogOptions = LogSettings & {
  readonly format: 'json' | 'pretty';
  /** Pretty lines only: whether to colour levels (a terminal, and NO_COLOR not set). */
  readonly colour: boolean;
  readonly clock: Clock;
  /** Facts of every line, such as the thread. */
  readonly base: LogFields;
};

/** A logger with its end: `flush` writes what is gathered. Call it before the thread or process ends. */
export type Log = Logger & {
  /** Takes a reloaded configuration's settings. */
  reconfigure(settings: LogSettings): void;
  flush(): void;
};

/** A log onto `writer`. A line is out after the current turn of the event loop. */
export function openLog(options: LogOptions, writer: LineWriter): Log {
  let addresses = options.addresses;
  const root = pino(pinoOptions(options), { write: (line: string) => writer.write(rendered(line, options)) });
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (event: string, fields: LogFields) => {
    if (root.isLevelEnabled(level)) root[level](fieldsForLog(event, fields, addresses));
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    reconfigure: (settings) => {
      root.level = settings.level;
      addresses = settings.addresses;
    },
    flush: () => writer.flush(),
  };
}

function pinoOptions({ level, clock, base }: LogOptions): LoggerOptions {
  let lastTime = Number.NaN;
  let lastText = '';
  return {
    level,
    base: { ...base },
    formatters: { level: (label) => ({ level: label }) },
    // Many lines fall into one millisecond; the text of a time costs as much as the rest of a line.
    timestamp: () => {
      const now = clock.now();
      if (now !== lastTime) {
        lastTime = now;
        lastText = `,"time":"${new Date(now).toISOString()}"`;
      }
      return lastText;
    },
  };
}

/** JSON escapes controls below 0x20 only: the rest that a terminal would obey is escaped here. */
const rendered = (line: string, options: LogOptions): string =>
  options.format === 'pretty' ? prettyLine(line, options.colour) : escapeJson(line);
