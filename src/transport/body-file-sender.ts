/**
 * Sends a body file to a socket: two blocks in flight, so that disk and network work side by side and memory stays bounded.
 */
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { err, ok, type Result } from '../domain/basics.ts';
import type { Body } from '../domain/queue.ts';

const BLOCK = 256 * 1024;

/**
 * Resolves when the last block was handed to the system. Fails where the file cannot be read in full, or the socket broke
 * (the caller knows which). `onProgress` is called for every block the system took.
 */
export async function sendBodyFile(
  body: Extract<Body, { kind: 'file' }>,
  socket: Socket,
  onProgress: () => void,
): Promise<Result<void, string>> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(body.path, 'r');
  } catch (error) {
    return err(`body file: ${(error as Error).message}`);
  }
  try {
    return await pump(file, { body, socket, onProgress });
  } catch (error) {
    return err(`body file: ${(error as Error).message}`);
  } finally {
    await file.close();
  }
}

async function pump(
  file: Awaited<ReturnType<typeof open>>,
  job: { readonly body: Extract<Body, { kind: 'file' }>; readonly socket: Socket; readonly onProgress: () => void },
): Promise<Result<void, string>> {
  const { body, socket, onProgress } = job;
  if ((await file.stat()).size !== body.wireBytes) return err('body file: not as long as it was when it was accepted');
  const blocks = [Buffer.allocUnsafeSlow(BLOCK), Buffer.allocUnsafeSlow(BLOCK)] as const;
  let writing: Promise<boolean> = Promise.resolve(true);
  for (let sent = 0, turn = 0; sent < body.wireBytes; turn = 1 - turn) {
    const block = blocks[turn as 0 | 1];
    const { bytesRead } = await file.read(block, 0, Math.min(BLOCK, body.wireBytes - sent), sent);
    if (bytesRead === 0) return err('body file: ended early');
    if (!(await writing)) return err('connection lost');
    onProgress();
    writing = write(socket, block.subarray(0, bytesRead));
    sent += bytesRead;
  }
  return (await writing) ? ok(undefined) : err('connection lost');
}

/** False where the socket broke. */
const write = (socket: Socket, block: Uint8Array): Promise<boolean> =>
  new Promise((resolve) => {
    if (socket.destroyed || !socket.writable) return resolve(false);
    const closed = (): void => resolve(false);
    socket.once('close', closed);
    socket.write(block, (error) => {
      socket.removeListener('close', closed);
      resolve(error === null || error === undefined);
    });
  });
