/**
 * A stored body as its recipients would see it: the wire form without dot-stuffing, read piece by piece.
 */
import { type FileHandle, open } from 'node:fs/promises';
import type { Body } from '../domain/queue.ts';
import { dotUnstuff } from '../reporting/mime-format.ts';

const PIECE_BYTES = 64 * 1024;
const LF = 10;

async function* pieces(file: FileHandle): AsyncGenerator<Uint8Array> {
  try {
    let atLineStart = true;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES, null);
      if (bytesRead === 0) return;
      const piece = buffer.subarray(0, bytesRead);
      yield dotUnstuff(piece, atLineStart);
      atLineStart = piece.at(-1) === LF;
    }
  } finally {
    await file.close();
  }
}

/** The message in pieces; null where its file is gone. Whoever takes it must read it to its end or return it. */
export async function openContent(body: Body): Promise<AsyncIterable<Uint8Array> | Iterable<Uint8Array> | null> {
  if (body.kind === 'memory') return [dotUnstuff(body.wire)];
  try {
    return pieces(await open(body.path, 'r'));
  } catch {
    return null;
  }
}
