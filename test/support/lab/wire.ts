/**
 * One socket read on demand: lines, chunks, exactly as much as asked for. Nothing is read ahead of what the conversation wants,
 * so that a socket can be handed to TLS between two reads. Errors end the wire; they never throw.
 */
import type { Socket } from 'node:net';

/** Longest command line; a longer one is cut into pieces that no command matches. */
const LINE_LIMIT = 16_384;

export type Wire = {
  readonly socket: Socket;
  /** The next line without its CRLF or LF; null when the peer is gone. */
  line(): Promise<string | null>;
  /** The next octets, at least one; null when the peer is gone. */
  chunk(): Promise<Buffer | null>;
  /** Octets that have come and were not asked for yet. */
  waiting(): number;
  /** Gives octets back, to be read first. */
  unread(octets: Buffer): void;
  /** Writes; resolves when the socket took it all, false when it is gone. */
  write(octets: string | Buffer): Promise<boolean>;
  /** Stops listening, giving what was not read back to the socket, which is whole again for its next owner. */
  detach(): void;
};

/** A wire on a connected socket. `onProblem` hears of socket errors. */
export function openWire(socket: Socket, onProblem: (problem: string) => void): Wire {
  let rest: Buffer = Buffer.alloc(0);
  let wake: () => void = () => {};
  let gone = false;
  const end = (): void => {
    gone = true;
    wake();
  };
  const ready = (): void => wake();
  const failed = (error: NodeJS.ErrnoException): void => onProblem(error.code ?? error.message);
  // The error listener stays for good: an error after detaching must not bring the process down.
  socket.on('error', failed).on('readable', ready).on('end', end).on('close', end);

  const next = async (): Promise<Buffer | null> => {
    for (;;) {
      const octets: Buffer | null = socket.read();
      if (octets !== null) return octets;
      if (gone || socket.destroyed) return null;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const chunk = async (): Promise<Buffer | null> => {
    if (rest.length === 0) return next();
    const octets = rest;
    rest = Buffer.alloc(0);
    return octets;
  };
  const line = async (): Promise<string | null> => {
    for (;;) {
      const feed = rest.indexOf(0x0a);
      if (feed >= 0 || rest.length > LINE_LIMIT) {
        const length = feed >= 0 ? feed + 1 : LINE_LIMIT;
        const text = rest.toString('latin1', 0, length);
        rest = rest.subarray(length);
        return text.replace(/\r?\n$/, '');
      }
      const more = await next();
      if (more === null) return null;
      rest = Buffer.concat([rest, more]);
    }
  };
  return {
    socket,
    line,
    chunk,
    waiting: () => rest.length + socket.readableLength,
    unread(octets) {
      rest = Buffer.concat([octets, rest]);
    },
    write: (octets) =>
      new Promise((resolve) => {
        if (gone || socket.destroyed || !socket.writable) return resolve(false);
        const closed = (): void => resolve(false);
        socket.once('close', closed);
        socket.write(octets, (error) => {
          socket.off('close', closed);
          resolve(error === null || error === undefined);
        });
      }),
    detach() {
      socket.off('readable', ready).off('end', end).off('close', end);
      if (rest.length > 0) socket.unshift(rest);
      rest = Buffer.alloc(0);
    },
  };
}
