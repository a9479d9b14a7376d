/**
 * Bodies too large for a row: `<folder>/<2 hex>/<random>.body`, written as `.part` and renamed when they are on disk.
 * A file belongs to its writer until a row names it, and to that row from then on.
 */
import { randomUUID } from 'node:crypto';
import { type Dirent, mkdirSync, readdirSync, rmSync, statSync, unlink } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { err, ok, type Result } from '../domain/basics.ts';
import type { Body } from '../domain/queue.ts';
import type { BodyFiles } from './queue-state.ts';
import type { BodyWriter, SpoolProblem } from './spool.ts';

/** Chunks are gathered to writes of this size: the memory one large message needs while it arrives. */
const WRITE_BYTES = 256 * 1024;

/** Translates what node:fs threw. */
export type FileProblem = (error: unknown) => SpoolProblem;

/** Makes the folder and its 256 subfolders (0700), so that a writer never has to. Throws what node:fs throws. */
export function prepareBodyFolders(folder: string): void {
  for (let index = 0; index < 256; index++) {
    mkdirSync(join(folder, index.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 });
  }
}

/** Files as rows name them: relative to the folder, so that the data can be moved. */
export function bodyFilesIn(folder: string): BodyFiles {
  return {
    size: (name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? null,
    remove: (name) => unlink(join(folder, name), () => undefined),
  };
}

/** Removes every file no row owns; returns how many. For the start, before anyone can be writing. Throws what node:fs throws. */
export function sweepBodies(folder: string, owned: (name: string) => boolean): number {
  let removed = 0;
  const files = (entry: Dirent): string[] => (entry.isDirectory() ? readdirSync(join(folder, entry.name)) : []);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    for (const file of files(entry)) {
      const name = `${entry.name}/${file}`;
      if (owned(name)) continue;
      rmSync(join(folder, name), { force: true });
      removed++;
    }
  }
  return removed;
}

/** The stored name of a body file, null where it does not lie in the folder. */
export function bodyName(folder: string, path: string): string | null {
  const name = relative(folder, path);
  return /^[0-9a-f]{2}\/[0-9a-f-]+\.body$/.test(name) ? name : null;
}

type Writing = { readonly handle: FileHandle; readonly part: string; readonly path: string };

/** A writer for one body in the prepared folder. Each write reaches the file before the next is taken. */
export async function createBodyWriter(folder: string, problemOf: FileProblem): Promise<Result<BodyWriter, SpoolProblem>> {
  const name = randomUUID();
  const path = join(folder, name.slice(0, 2), `${name}.body`);
  const part = `${path.slice(0, -'.body'.length)}.part`;
  try {
    return ok(writerOn({ handle: await open(part, 'wx', 0o600), part, path }, problemOf));
  } catch (error) {
    return err(problemOf(error));
  }
}

/** Octets on their way into one file: gathered, copied, written in large pieces. */
function gatherInto(handle: FileHandle) {
  const buffer = Buffer.allocUnsafeSlow(WRITE_BYTES);
  let held = 0;
  const writeAll = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten;
  };
  const flush = async (): Promise<void> => {
    const bytes = buffer.subarray(0, held);
    held = 0;
    await writeAll(bytes);
  };
  return {
    flush,
    async add(chunk: Uint8Array): Promise<void> {
      if (held + chunk.length > WRITE_BYTES) await flush();
      if (chunk.length >= WRITE_BYTES) return writeAll(chunk);
      buffer.set(chunk, held);
      held += chunk.length;
    },
  };
}

function writerOn(file: Writing, problemOf: FileProblem): BodyWriter {
  const gather = gatherInto(file.handle);
  let wireBytes = 0;
  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    await file.handle.close();
  };
  return {
    write(chunk) {
      wireBytes += chunk.length;
      return attempt(() => gather.add(chunk), problemOf);
    },
    async finish() {
      const done = await attempt(async () => {
        await gather.flush();
        await file.handle.sync();
        await close();
        await rename(file.part, file.path);
        await syncFolderOf(file.path);
      }, problemOf);
      return done.ok ? ok<Body>({ kind: 'file', path: file.path, wireBytes }) : done;
    },
    async abandon() {
      // What cannot be removed now is swept at the next start.
      await close().catch(() => undefined);
      await rm(file.part, { force: true }).catch(() => undefined);
      await rm(file.path, { force: true }).catch(() => undefined);
    },
  };
}

async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function attempt(work: () => Promise<void>, problemOf: FileProblem): Promise<Result<void, SpoolProblem>> {
  try {
    await work();
    return ok(undefined);
  } catch (error) {
    return err(problemOf(error));
  }
}
