/**
 * Gathers replies while commands are at hand and writes them in one piece: a write costs more than all the rest of a command.
 */
import type { Socket } from 'node:net';

/** The replies of one connection that are not written yet. */
export class Outbox {
  #text = '';

  /** Adds replies with their CRLF, ASCII only. */
  add(text: string): void {
    this.#text += text;
  }

  /** Writes what was gathered; null: it is dropped. */
  flush(socket: Socket | null): void {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    if (socket?.writable === true) socket.write(text, 'latin1');
  }
}

/** Calls back when the peer has taken enough of what was written for more to be read: at once, as a rule. */
export function whenTaken(socket: Socket, next: () => void): void {
  if (!socket.writableNeedDrain || socket.destroyed) next();
  else socket.once('drain', next);
}
