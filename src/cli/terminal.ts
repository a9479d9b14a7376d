/**
 * Where commands write: standard output and error of this process, as they need them.
 */
import { once } from 'node:events';
import type { Instant } from '../domain/basics.ts';

/** What a command sees of the world around it. */
export type Terminal = {
  /** Writes to standard output; resolves when more may follow. */
  write(content: string | Uint8Array): Promise<void>;
  /** Writes a line for people to standard error. */
  complain(text: string): void;
  /** Width of the terminal; null where standard output is none. */
  readonly columns: number | null;
  now(): Instant;
};

/** How a command ended: fine, the answer is no or something failed, usage or configuration error. */
export type ExitCode = 0 | 1 | 2;

/** The terminal of this process. Ends the process quietly where the reader of its output has gone (`| head`). */
export function processTerminal(): Terminal {
  process.stdout.on('error', () => process.exit(1));
  return {
    write: async (content) => {
      if (!process.stdout.write(content)) await once(process.stdout, 'drain');
    },
    complain: (text) => void process.stderr.write(`postern: ${text}\n`),
    columns: process.stdout.isTTY ? process.stdout.columns : null,
    now: () => Date.now() as Instant,
  };
}
