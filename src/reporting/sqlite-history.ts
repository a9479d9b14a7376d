/**
 * The history on SQLite, in chunks: the lines of many events compressed together, and a list of short keys to tell which chunks are
 * worth reading. Keeping an event costs a share of one row, so the relay hardly feels it; a question reads the keys of all chunks.
 */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Instant, Milliseconds } from '../domain/basics.ts';
import { parseQueueId, queueIdTime } from '../domain/queue-id.ts';
import type { HistoryAnswer, HistoryBatch, HistoryEvent, HistoryQuestion } from './history.ts';
import { keyOf, messageOf, names, OPERATOR_KEY, readEvent } from './history-line-format.ts';
import { type Chunk, type ChunkSearch, type ChunkTable, chunkTable } from './sqlite-history-chunks.ts';
import { isDamage, moveAside, openHistoryFile } from './sqlite-history-file.ts';

/** Where the history is, and what it is bounded by. */
export type HistoryOptions = {
  readonly path: string;
  /** Octets of the file. */
  readonly mostBytes: number;
  readonly keepFor: Milliseconds;
  /** Octets that stay free on the disk: the queue needs them more. */
  readonly leaveFree: number;
  /** Something went wrong with the file, and it went on: for the log. */
  onTrouble(text: string): void;
};

/** Lines after which a chunk is full, in UTF-16 units. */
const CHUNK_TEXT = 256 * 1024;
/** A chunk that is open so long is full: what is too old is forgotten by chunks. */
const CHUNK_AGE: Milliseconds = 3_600_000;
/** Chunks forgotten and pages given back in one step. */
const FORGET_CHUNKS = 4;
const FREE_PAGES = 256;
/** One question reads no more than this. */
const MOST_CHUNKS = 2000;
const MOST_EVENTS = 5000;
/** Clocks may be set back a little, and batches of threads overtake each other. */
const SLACK: Milliseconds = 60_000;

type File = { readonly database: DatabaseSync; readonly table: ChunkTable };
type OpenChunk = { -readonly [Key in keyof Chunk]: Chunk[Key] } & { keys: Set<number>; events: number };

/** The history, open or waiting for a file that can be written. Nothing here throws. */
export class SqliteHistory {
  readonly #options: HistoryOptions;
  #file: File | null;
  #chunk: OpenChunk | null = null;
  #dirty = false;
  /** Events that were lost with chunks that could not be written. */
  #lost = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#file = this.#open();
  }

  #open(): File | null {
    const { path, onTrouble } = this.#options;
    try {
      const { database, movedAside } = openHistoryFile(path);
      if (movedAside !== null) onTrouble(`${path}: ${movedAside}; it is kept as ${path}.damaged and a new history begins`);
      return { database, table: chunkTable(database) };
    } catch (error) {
      onTrouble(`${path} cannot be opened: ${messageText(error)}; what happens now is not kept`);
      return null;
    }
  }

  /** Takes a batch; it is written when its chunk is full, or with the next `flush`. */
  append(batch: HistoryBatch): void {
    this.#chunk ??= this.#begin(batch);
    const chunk = this.#chunk;
    chunk.lines += batch.lines;
    chunk.events += batch.events;
    for (const key of batch.keys) chunk.keys.add(key);
    if (batch.since < chunk.since) chunk.since = batch.since;
    if (batch.until > chunk.until) chunk.until = batch.until;
    chunk.sessionsRefused += batch.sessionsRefused;
    chunk.messagesRefused += batch.messagesRefused;
    chunk.dropped += batch.dropped;
    this.#dirty = true;
    if (chunk.lines.length >= CHUNK_TEXT) this.#write();
  }

  #begin({ since, until }: HistoryBatch): OpenChunk {
    const id = this.#attempt((table) => table.nextId()) ?? 1;
    const dropped = this.#lost;
    this.#lost = 0;
    return { sessionsRefused: 0, messagesRefused: 0, dropped, id, since, until, lines: '', keys: new Set(), events: 0 };
  }

  /** Writes what was appended and forgets a little of what is too old or too much. To be called every second or so. */
  flush(now: Instant): void {
    this.#file ??= this.#open();
    if (this.#dirty) this.#write();
    if (this.#chunk !== null && now - this.#chunk.since > CHUNK_AGE) this.#chunk = null;
    const before = (now - this.#options.keepFor) as Instant;
    this.#attempt((table) => {
      table.forget({ before, bytes: this.#options.mostBytes, most: FORGET_CHUNKS });
      table.shrink(FREE_PAGES);
    });
  }

  /** Puts the open chunk into the file; a full one is let go even where that failed: memory is bounded, and history may be lost. */
  #write(): void {
    const chunk = this.#chunk;
    if (chunk === null) return;
    this.#dirty = false;
    const written = this.#roomLeft() && this.#attempt((table) => putChunk(table, chunk)) === true;
    if (chunk.lines.length < CHUNK_TEXT) return;
    this.#chunk = null;
    if (!written) this.#lost += chunk.events + chunk.dropped;
  }

  #roomLeft(): boolean {
    try {
      const { bavail, bsize } = statfsSync(dirname(this.#options.path));
      return bavail * bsize >= this.#options.leaveFree;
    } catch {
      return false;
    }
  }

  /** Does something with the file; null where it could not be done. A damaged file is left for a new one. */
  #attempt<T>(work: (table: ChunkTable) => T): T | null {
    if (this.#file === null) return null;
    try {
      return work(this.#file.table);
    } catch (error) {
      const { path, onTrouble } = this.#options;
      onTrouble(`${path}: ${messageText(error)}`);
      if (isDamage(error)) this.#leaveDamaged();
      return null;
    }
  }

  #leaveDamaged(): void {
    try {
      this.#file?.database.close();
      moveAside(this.#options.path);
    } catch (error) {
      this.#options.onTrouble(`${this.#options.path} cannot be moved aside: ${messageText(error)}`);
    }
    this.#file = this.#open();
    if (this.#chunk !== null) this.#dirty = true;
  }

  /** What is known; null where the file cannot be read. */
  find(question: HistoryQuestion, now: Instant): HistoryAnswer | null {
    if (this.#dirty) this.#write();
    return this.#attempt((table) => answer(table, question, (now - this.#options.keepFor) as Instant));
  }

  /** Writes what is left and closes the file. */
  close(): void {
    if (this.#dirty) this.#write();
    this.#attempt(() => this.#file?.database.close());
    this.#file = null;
  }
}

function putChunk(table: ChunkTable, chunk: Chunk): true {
  table.put(chunk);
  return true;
}

const messageText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Events of chunks that may hold one of the keys, bounded. */
class Reading {
  complete = true;
  #chunks = 0;
  readonly #table: ChunkTable;

  constructor(table: ChunkTable) {
    this.#table = table;
  }

  *events(search: ChunkSearch): Generator<HistoryEvent> {
    for (const id of this.#table.search(search)) {
      this.#chunks += 1;
      if (this.#chunks > MOST_CHUNKS) {
        this.complete = false;
        return;
      }
      const lines = this.#table.linesOf(id);
      for (const line of search.newestFirst ? lines.toReversed() : lines) {
        const event = line === '' ? null : readEvent(line);
        if (event !== null) yield event;
      }
    }
  }
}

function answer(table: ChunkTable, question: HistoryQuestion, oldest: Instant): HistoryAnswer {
  const reading = new Reading(table);
  const ids = question.kind === 'message' ? new Set([question.queueId]) : newest(reading, question, oldest);
  const keys = [...ids].map(keyOf);
  const search = { keys: [...keys, OPERATOR_KEY], from: birthOf(ids, oldest), newestFirst: false };
  const events: HistoryEvent[] = [];
  for (const event of keys.length === 0 ? [] : reading.events(search)) {
    const id = messageOf(event);
    if (id !== null && !ids.has(id) && !(event.kind === 'notice' && ids.has(event.queueId))) continue;
    if (events.length >= MOST_EVENTS) {
      reading.complete = false;
      break;
    }
    events.push(event);
  }
  const { since, ...counts } = table.summary();
  return { events, complete: reading.complete, since, counts };
}

/** The latest messages that name an address. */
function newest(
  reading: Reading,
  { forms, limit }: Extract<HistoryQuestion, { kind: 'address' }>,
  oldest: Instant,
): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const event of reading.events({ keys: forms.map(keyOf), from: oldest, newestFirst: true })) {
    const id = messageOf(event);
    if (id === null || ids.has(id) || !names(event, forms)) continue;
    if (ids.size === limit) {
      reading.complete = false;
      break;
    }
    ids.add(id);
  }
  return ids;
}

/** Before this nothing happened to any of the messages: their ids tell. */
function birthOf(ids: ReadonlySet<string>, oldest: Instant): Instant {
  const births = [...ids].map((text) => {
    const id = parseQueueId(text);
    return id === null ? oldest : queueIdTime(id) - SLACK;
  });
  return Math.max(oldest, births.length === 0 ? oldest : Math.min(...births)) as Instant;
}
