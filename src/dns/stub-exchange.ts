/**
 * One question to one server: over UDP from a socket of its own (a random source port, and only that server's datagrams come
 * through), and over TCP where the answer was cut short. Decides nothing beyond what belongs to the question. RFC 5452; RFC 7766.
 */
import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import type { Milliseconds } from '../domain/basics.ts';
import type { Reply } from './answer-policy.ts';
import type { ServerAddress } from './resolv-conf-format.ts';
import { encodeQuery, type Question, type RecordType, readMessage } from './stub-wire.ts';

/** What is asked, and whether this server's AD bit counts. */
export type Asked<T> = { readonly question: Question; readonly type: RecordType<T>; readonly trusted: boolean };

/** Why there is no reply. */
export type ExchangeProblem = 'timeout' | 'unreachable' | 'malformed';

/** How an exchange ended. */
export type ExchangeResult<T> =
  | { readonly kind: 'reply'; readonly reply: Reply<T> }
  | { readonly kind: 'failed'; readonly problem: ExchangeProblem };

/** Where to ask, how long to wait for each of UDP and TCP, and what ends it early (as 'unreachable'). */
export type Way = { readonly server: ServerAddress; readonly patience: Milliseconds; readonly signal: AbortSignal };

type Ended<T> = ExchangeResult<T> | { readonly kind: 'truncated' };

/** Stray or forged datagrams borne before a try is given up: more than that is an attack on the 16 bits of the id. */
const MAX_FOREIGN = 16;

const failed = (problem: ExchangeProblem): ExchangeResult<never> => ({ kind: 'failed', problem });

/** Runs `start` until it ends itself, time is up or the signal aborts; `release` lets go of the socket in every case. */
function race<T>(way: Way, start: (end: (result: Ended<T>) => void) => () => void): Promise<Ended<T>> {
  return new Promise((resolve) => {
    if (way.signal.aborted) return resolve(failed('unreachable'));
    let over = false;
    const end = (result: Ended<T>): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      way.signal.removeEventListener('abort', abort);
      release();
      resolve(result);
    };
    const abort = (): void => end(failed('unreachable'));
    const timer = setTimeout(() => end(failed('timeout')), way.patience);
    way.signal.addEventListener('abort', abort);
    const release = start(end);
  });
}

function overUdp<T>(asked: Asked<T>, way: Way): Promise<Ended<T>> {
  return race<T>(way, (end) => {
    const socket = createSocket(isIP(way.server.address) === 6 ? 'udp6' : 'udp4');
    let foreign = 0;
    socket.on('error', () => end(failed('unreachable')));
    socket.on('message', (bytes) => {
      const read = readMessage(bytes, asked);
      if (read.kind === 'malformed') end(failed('malformed'));
      else if (read.kind === 'reply') end(read.truncated ? { kind: 'truncated' } : { kind: 'reply', reply: read.reply });
      else if (++foreign >= MAX_FOREIGN) end(failed('malformed'));
    });
    socket.on('connect', () => socket.send(encodeQuery(asked.question)));
    socket.connect(way.server.port, way.server.address);
    return () => {
      socket.removeAllListeners('connect');
      socket.removeAllListeners('message');
      socket.close();
    };
  });
}

function overTcp<T>(asked: Asked<T>, way: Way): Promise<Ended<T>> {
  return race<T>(way, (end) => {
    const socket = connect({ host: way.server.address, port: way.server.port });
    let received = Buffer.alloc(0);
    socket.on('error', () => end(failed('unreachable')));
    socket.on('close', () => end(failed('malformed')));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const read = readMessage(received.subarray(2, 2 + received.readUInt16BE(0)), asked);
      end(read.kind === 'reply' && !read.truncated ? { kind: 'reply', reply: read.reply } : failed('malformed'));
    });
    const query = encodeQuery(asked.question);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    socket.write(Buffer.concat([length, query]));
    return () => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.destroy();
    };
  });
}

/** Asks one server. Never rejects, leaves no socket and no timer behind. */
export async function askServer<T>(asked: Asked<T>, way: Way): Promise<ExchangeResult<T>> {
  const first = await overUdp(asked, way);
  if (first.kind !== 'truncated') return first;
  const second = await overTcp(asked, way);
  return second.kind === 'truncated' ? failed('malformed') : second;
}
