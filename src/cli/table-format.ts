/**
 * Tables, ages and sizes for people. Cells are foreign text: they are escaped here. No colours, so nothing to switch off.
 */
import type { Milliseconds } from '../domain/basics.ts';
import { capText, escapeText } from '../domain/escape.ts';

/** One column; `most` caps its width on a terminal. */
export type Column = { readonly heading: string; readonly align?: 'left' | 'right'; readonly most?: number };

const GAP = '  ';
/** The last column gets at least this much, even if lines become too long. */
const LEAST_LAST = 20;
const LONGEST_CELL = 512;

/** Columns a text takes: one for a character, none for a combining mark, two for wide East Asian ones and emoji. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

function pad(text: string, width: number, align: Column['align']): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? blanks + text : text + blanks;
}

/** Shortens to a display width. */
const fit = (text: string, width: number): string => (displayWidth(text) <= width ? text : capText(text, Math.max(1, width)));

/**
 * The rows under their headings, columns aligned, a line feed after each line. `width` null: not a terminal, nothing is shortened;
 * else columns are capped and the last one shortened to fit.
 */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width: number | null): string {
  const last = columns.length - 1;
  const cells = rows.map((row) =>
    columns.map(({ most }, at) => {
      const cell = escapeText(row[at] ?? '', LONGEST_CELL);
      return width === null || most === undefined ? cell : fit(cell, most);
    }),
  );
  const widths = columns.map(({ heading }, at) =>
    Math.max(displayWidth(heading), ...cells.map((row) => displayWidth(row[at] ?? ''))),
  );
  const before = widths.slice(0, last).reduce((sum, each) => sum + each + GAP.length, 0);
  const room = width === null ? LONGEST_CELL : Math.max(LEAST_LAST, width - before);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) =>
        at === last && columns[at]?.align !== 'right' ? fit(cell, room) : pad(cell, widths[at] ?? 0, columns[at]?.align),
      )
      .join(GAP)
      .trimEnd();
  return [columns.map(({ heading }) => heading), ...cells].map((row) => `${line(row)}\n`).join('');
}

/** `name  value` lines with the values aligned. */
export function facts(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...entries.map(([name]) => displayWidth(name)));
  return entries
    .map(([name, value]) => `${pad(name, width, 'left')}${GAP}${escapeText(value)}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** A text in lines of at most `width` columns, broken at spaces; `null`: one line. A longer word stays whole. */
export function wrap(text: string, width: number | null): readonly string[] {
  if (width === null || displayWidth(text) <= width) return [text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && displayWidth(longer) > Math.max(LEAST_LAST, width)) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `512 B`, `1.2 KiB`, `50 MiB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A length of time by its two largest units: `5s`, `4m 10s`, `3d 2h`. */
export function ageText(length: Milliseconds): string {
  const seconds = Math.max(0, Math.round(length / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}
