/**
 * Reads a message from DATA to the final dot as it streams by: unstuffs dots, hashes, counts. Only CRLF.CRLF ends it
 * (RFC 5321, section 4.1.1.4), at whatever octet the chunks are cut.
 */
import { createHash } from 'node:crypto';

/** What was read. */
export type ReadMessage = {
  readonly sha256: string;
  readonly size: number;
  readonly receivedHeaders: number;
  readonly eightBit: boolean;
  readonly content: Buffer;
  /** What came after the final dot. */
  readonly rest: Buffer;
};

export type MessageReader = {
  /** Takes the next octets; the message once its end has come, null before. */
  push(octets: Buffer): ReadMessage | null;
};

const HEADER_LIMIT = 256 * 1024;
const CR = 0x0d;
const LF = 0x0a;

/** A reader that keeps the first `keepOctets` of the content. */
export function messageReader(keepOctets: number): MessageReader {
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  let keptOctets = 0;
  let size = 0;
  let eightBit = false;
  // A CRLF that never was stands before the first line, so that its dot is seen, too; it is not part of the content.
  let pending = Buffer.from('\r\n');
  let unreal = 2;

  const emit = (octets: Buffer): void => {
    const real = octets.subarray(Math.min(unreal, octets.length));
    unreal -= octets.length - real.length;
    size += real.length;
    hash.update(real);
    eightBit ||= real.some((octet) => octet > 0x7f);
    const room = Math.max(keepOctets, HEADER_LIMIT) - keptOctets;
    if (room <= 0) return;
    kept.push(Buffer.from(real.subarray(0, room)));
    keptOctets += Math.min(room, real.length);
  };
  const finish = (rest: Buffer): ReadMessage => {
    const all = Buffer.concat(kept);
    const content = all.length <= keepOctets ? all : Buffer.from(all.subarray(0, keepOctets));
    return { sha256: hash.digest('hex'), size, receivedHeaders: countReceived(all), eightBit, content, rest };
  };
  return {
    push(octets) {
      const buffer = Buffer.concat([pending, octets]);
      let from = 0;
      for (;;) {
        const at = buffer.indexOf('\r\n.', from);
        if (at < 0 || undecided(buffer, at)) {
          const until = at >= 0 ? at : Math.max(from, buffer.length - 2);
          emit(buffer.subarray(from, until));
          pending = Buffer.from(buffer.subarray(until));
          return null;
        }
        emit(buffer.subarray(from, at + 2));
        if (buffer[at + 3] === CR && buffer[at + 4] === LF) return finish(buffer.subarray(at + 5));
        from = at + 3;
      }
    },
  };
}

/** True where the octets after CRLF-dot at `at` do not yet tell whether this is the final dot. */
const undecided = (buffer: Buffer, at: number): boolean =>
  buffer.length === at + 3 || (buffer.length === at + 4 && buffer[at + 3] === CR);

function countReceived(content: Buffer): number {
  const end = content.indexOf('\r\n\r\n');
  const header = content.toString('latin1', 0, end < 0 ? content.length : end + 2);
  return header.match(/^received:/gim)?.length ?? 0;
}
