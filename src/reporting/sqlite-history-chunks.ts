/** The table of chunks: puts, finds by key, reads and forgets them. Throws what SQLite throws. */
import type { DatabaseSync } from 'node:sqlite';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Instant } from '../domain/basics.ts';
import type { HistoryCounts } from './history.ts';

/** Many events: their lines, and the keys of all of them. */
export type Chunk = HistoryCounts & {
  readonly id: number;
  readonly since: Instant;
  readonly until: Instant;
  readonly lines: string;
  readonly keys: ReadonlySet<number>;
};

/** Which chunks may hold what is looked for: those with one of the keys that end at or after `from`. */
export type ChunkSearch = { readonly keys: readonly number[]; readonly from: Instant; readonly newestFirst: boolean };

/** See the functions' comments. */
export type ChunkTable = {
  /** The first id that is free. */
  nextId(): number;
  /** Writes the chunk, or writes it anew. */
  put(chunk: Chunk): void;
  search(search: ChunkSearch): Iterable<number>;
  /** The events' lines. */
  linesOf(id: number): readonly string[];
  /** When the oldest chunk begins, and what was not kept one by one. */
  summary(): HistoryCounts & { readonly since: Instant | null };
  /** Forgets the oldest chunks, at most `most`: those that end before `before`, or any where the file has over `bytes` octets. */
  forget(limits: { readonly before: Instant; readonly bytes: number; readonly most: number }): void;
  /** Gives back free pages, at most so many. */
  shrink(pages: number): void;
};

/** Level 1: a chunk of 256 KiB takes a millisecond and an eighth of the room. */
const COMPRESSION = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** The table in an open history. */
export function chunkTable(database: DatabaseSync): ChunkTable {
  const put = database.prepare('INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const upward = database.prepare('SELECT id, keys FROM chunk WHERE until >= ? ORDER BY id');
  const downward = database.prepare('SELECT id, keys FROM chunk WHERE until >= ? ORDER BY id DESC');
  const lines = database.prepare('SELECT lines FROM chunk WHERE id = ?');
  const summary = database.prepare(
    'SELECT min(since) AS since, sum(sessions_refused) AS s, sum(messages_refused) AS m, sum(dropped) AS d FROM chunk',
  );
  const forgetOld = database.prepare('DELETE FROM chunk WHERE id IN (SELECT id FROM chunk ORDER BY id LIMIT ?) AND until < ?');
  const forgetAny = database.prepare('DELETE FROM chunk WHERE id IN (SELECT id FROM chunk ORDER BY id LIMIT ?)');
  const numberOf = (sql: string): number => Number(Object.values(database.prepare(sql).get() ?? {})[0] ?? 0);
  const usedBytes = (): number =>
    (numberOf('PRAGMA page_count') - numberOf('PRAGMA freelist_count')) * numberOf('PRAGMA page_size');
  return {
    nextId: () => numberOf('SELECT max(id) FROM chunk') + 1,
    put: (chunk) => {
      const keys = Buffer.from(Uint32Array.from(chunk.keys).buffer);
      const compressed = zstdCompressSync(chunk.lines, COMPRESSION);
      const { id, since, until, sessionsRefused, messagesRefused, dropped } = chunk;
      put.run(id, since, until, sessionsRefused, messagesRefused, dropped, keys, compressed);
    },
    *search({ keys, from, newestFirst }) {
      for (const { id, keys: held } of (newestFirst ? downward : upward).iterate(from)) {
        if (!(held instanceof Uint8Array) || typeof id !== 'number') continue;
        // A copy: what SQLite gives may lie at any address.
        const view = new Uint32Array(held.slice().buffer);
        if (keys.some((key) => view.includes(key))) yield id;
      }
    },
    linesOf: (id) => {
      const held = lines.get(id)?.['lines'];
      return held instanceof Uint8Array ? zstdDecompressSync(held).toString().split('\n') : [];
    },
    summary: () => {
      const row = summary.get() ?? {};
      const { since, s, m, d } = row;
      return {
        since: typeof since === 'number' ? (since as Instant) : null,
        sessionsRefused: Number(s ?? 0),
        messagesRefused: Number(m ?? 0),
        dropped: Number(d ?? 0),
      };
    },
    forget: ({ before, bytes, most }) => {
      if (usedBytes() > bytes) forgetAny.run(most);
      else forgetOld.run(most, before);
    },
    shrink: (pages) => {
      if (numberOf('PRAGMA freelist_count') > pages) database.exec(`PRAGMA incremental_vacuum(${pages})`);
    },
  };
}
