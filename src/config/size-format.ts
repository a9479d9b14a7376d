/**
 * Sizes as operators write them: `512KiB 50MiB 2GiB`, or plain bytes.
 */
import { ok, type Result } from '../domain/basics.ts';
import { type Refusal, refuse } from './refusal.ts';

const UNITS = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
] as const;

/** The size in bytes. Decimal units (KB, MB) are refused: nobody agrees on what they mean. */
export function parseSize(text: string): Result<number, Refusal> {
  const match = /^(\d{1,15})(KiB|MiB|GiB|TiB)?$/.exec(text);
  if (match !== null) {
    const bytes = Number(match[1]) * (UNITS.find(([name]) => name === match[2])?.[1] ?? 1);
    return Number.isSafeInteger(bytes) ? ok(bytes) : refuse('is too large a size');
  }
  const near = /^(\d{1,15})\s*([kmgt])i?b?$/i.exec(text);
  const right = near === null ? null : `write ${near[1]}${near[2]?.toUpperCase()}iB`;
  return refuse('is no size; write a whole number and a unit, like 512KiB, 50MiB or 2GiB', right);
}

/** The shortest text that `parseSize` reads back: the largest unit that divides the bytes. */
export function formatSize(bytes: number): string {
  const unit = bytes === 0 ? undefined : UNITS.find(([, size]) => bytes % size === 0);
  return unit === undefined ? String(bytes) : `${bytes / unit[1]}${unit[0]}`;
}
