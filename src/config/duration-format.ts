/**
 * Durations as operators write them: a whole number and one unit, `30s 5m 4h 2d`, or `0`.
 */
import { type Milliseconds, ok, type Result } from '../domain/basics.ts';
import { type Refusal, refuse } from './refusal.ts';

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** The duration in milliseconds. Refuses a number without a unit (except 0), fractions, several units and more than 9,999,999 of one. */
export function parseDuration(text: string): Result<Milliseconds, Refusal> {
  if (text === '0') return ok(0);
  const match = /^(\d{1,7})([smhd])$/.exec(text);
  const unit = UNITS.find(([letter]) => letter === match?.[2]);
  if (unit !== undefined) return ok(Number(match?.[1]) * unit[1]);
  if (/^\d{1,7}$/.test(text)) return refuse('has no unit', `write ${text}s, ${text}m, ${text}h or ${text}d`);
  return refuse('is no duration; write a whole number and a unit, like 30s, 5m, 4h or 2d');
}

/** The shortest text that `parseDuration` reads back; whole seconds, rounded down. */
export function formatDuration(length: Milliseconds): string {
  const seconds = Math.floor(length / 1000) * 1000;
  if (seconds <= 0) return '0';
  const unit = UNITS.find(([, size]) => seconds % size === 0) ?? UNITS[3];
  return `${seconds / unit[1]}${unit[0]}`;
}
