/**
 * Reads the beginning of a stored body, as much as a notice may return of it. Never more, whatever the body's size.
 */
import { open } from 'node:fs/promises';
import type { Body } from '../domain/queue.ts';
import { type OriginalContent, RETURN_LIMIT } from './dsn-format.ts';

/** The first octets of the wire form; null where the file cannot be read. */
export async function readBodyHead(body: Body): Promise<OriginalContent | null> {
  if (body.kind === 'memory') {
    return { wire: body.wire.subarray(0, RETURN_LIMIT), complete: body.wire.length <= RETURN_LIMIT };
  }
  try {
    await using file = await open(body.path, 'r');
    const head = Buffer.alloc(Math.min(RETURN_LIMIT, body.wireBytes));
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return { wire: head.subarray(0, bytesRead), complete: bytesRead === body.wireBytes };
  } catch {
    return null;
  }
}
