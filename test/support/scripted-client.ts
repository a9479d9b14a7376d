/**
 * A tiny SMTP client for tests: sends exactly what the test says, expects replies, upgrades to TLS. It knows no policy and
 * repairs nothing, so that tests can be as rude as attackers are.
 */
import { strict as assert } from 'node:assert';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls';
import { openWire, type Wire } from './lab/wire.ts';

export type Where = {
  readonly address: string;
  readonly port: number /** Source address, for tests about peers. */;
  readonly localAddress?: string;
};

export type Reply = { readonly code: number; readonly lines: readonly string[] };

/** Milliseconds after which an awaited reply fails the test. */
const PATIENCE = 10_000;

export type ScriptedClient = {
  /** The socket in use: after `startTls` the TLS one. */
  socket(): Socket;
  tls(): TLSSocket | null;
  /** Writes octets as they are. */
  raw(octets: string | Buffer): void;
  /** The next reply, all its lines; null when the peer closed instead. Rejects after `patience` milliseconds. */
  reply(patience?: number): Promise<Reply | null>;
  /** Asserts that the next reply has the code (as far as given: `25` takes 250 and 251). */
  expect(code: number, patience?: number): Promise<Reply>;
  /** Asserts that the peer closes or resets without another reply. */
  expectClose(patience?: number): Promise<void>;
  /** Sends a line and asserts the reply. */
  command(line: string, code: number): Promise<Reply>;
  /** EHLO; the keywords with their parameters, upper case. */
  ehlo(name?: string): Promise<ReadonlyMap<string, string>>;
  /** STARTTLS, 220, handshake. Certificates are not checked unless the options say so. Rejects where the handshake fails. */
  startTls(options?: ConnectionOptions): Promise<TLSSocket>;
  /** The handshake alone, as after a 220 or for implicit TLS. */
  secure(options?: ConnectionOptions): Promise<TLSSocket>;
  /** A whole transaction; `content` in wire form without the final dot. The reply to the dot. */
  send(mail: { readonly from: string; readonly to: readonly string[]; readonly content: string }): Promise<Reply | null>;
  /** QUIT, 221, close. */
  quit(): Promise<void>;
  /** Closes at once. */
  destroy(): void;
};

/** Connects; reads nothing yet. Rejects where nothing listens. */
export async function connectClient(where: Where): Promise<ScriptedClient> {
  const { address: host, ...rest } = where;
  const socket = connectTcp({ host, ...rest });
  await new Promise<void>((resolve, reject) => void socket.once('connect', resolve).once('error', reject));
  socket.setNoDelay(true);
  return clientOn(openWire(socket, () => {}));
}

function clientOn(first: Wire): ScriptedClient {
  let wire = first;
  const reply = (patience = PATIENCE): Promise<Reply | null> => inTime(readReply(wire), patience, 'no reply');
  const raw = (octets: string | Buffer): void => void wire.socket.write(octets);
  const expect = async (code: number, patience?: number): Promise<Reply> => {
    const got = await reply(patience);
    assert.ok(got !== null, `closed instead of replying ${code}`);
    assert.ok(String(got.code).startsWith(String(code)), `expected ${code}, got ${got.lines.join(' / ')}`);
    return got;
  };
  const command = (line: string, code: number): Promise<Reply> => {
    raw(`${line}\r\n`);
    return expect(code);
  };
  const secure = async (options: ConnectionOptions = {}): Promise<TLSSocket> => {
    wire.detach();
    const socket = connectTls({ rejectUnauthorized: false, ...options, socket: wire.socket });
    await inTime(handshake(socket), PATIENCE, 'no handshake');
    wire = openWire(socket, () => {});
    return socket;
  };
  return {
    socket: () => wire.socket,
    tls: () => (wire.socket instanceof TLSSocket ? wire.socket : null),
    raw,
    reply,
    expect,
    async expectClose(patience) {
      const got = await reply(patience);
      assert.equal(got, null, `expected the connection to close, got ${got?.lines.join(' / ')}`);
    },
    command,
    async ehlo(name = 'client.test') {
      const { lines } = await command(`EHLO ${name}`, 250);
      return new Map(lines.slice(1).map((line) => keyword(line.slice(4))));
    },
    async startTls(options) {
      await command('STARTTLS', 220);
      return secure(options);
    },
    secure,
    async send({ from, to, content }) {
      await command(`MAIL FROM:<${from}>`, 250);
      for (const recipient of to) await command(`RCPT TO:<${recipient}>`, 250);
      await command('DATA', 354);
      raw(`${content}\r\n.\r\n`);
      return reply();
    },
    async quit() {
      await command('QUIT', 221);
      wire.socket.destroy();
    },
    destroy: () => void wire.socket.destroy(),
  };
}

function keyword(line: string): [name: string, parameters: string] {
  const [name = '', ...parameters] = line.split(' ');
  return [name.toUpperCase(), parameters.join(' ')];
}

async function readReply(wire: Wire): Promise<Reply | null> {
  const lines: string[] = [];
  for (;;) {
    const line = await wire.line();
    if (line === null) return null;
    lines.push(line);
    if (line[3] !== '-') return { code: Number(line.slice(0, 3)), lines };
  }
}

const handshake = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve).once('error', reject);
    socket.once('close', () => reject(new Error('closed during the handshake')));
  });

function inTime<T>(work: Promise<T>, patience: number, problem: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${problem} within ${patience} ms`)), patience);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
