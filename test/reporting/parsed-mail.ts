/** Messages as Python's email package reads them. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export type ParsedPart = {
  readonly type: string;
  readonly encoding: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly defects: readonly string[];
  readonly parts: readonly ParsedPart[];
  /** Leaves only, decoded. */
  readonly content?: string;
};

/** Reads all messages with one interpreter. They must be without dot-stuffing. */
export function parseMails(messages: readonly Uint8Array[]): readonly ParsedPart[] {
  const input = messages.map((message) => `${Buffer.from(message).toString('base64')}\n`).join('');
  const output = execFileSync('python3', [join(import.meta.dirname, 'parse-mail.py')], { input, maxBuffer: 256 * 1024 * 1024 });
  return output
    .toString()
    .trimEnd()
    .split('\n')
    .map((line): ParsedPart => JSON.parse(line));
}

/** All fields of that name, unfolded. */
export const fields = (part: ParsedPart | undefined, name: string): readonly string[] =>
  (part?.headers ?? [])
    .filter(([key]) => key.toLowerCase() === name.toLowerCase())
    .map(([, value]) => value.replace(/\r?\n\s/g, ' '));
