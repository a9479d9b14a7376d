/**
 * A real name server for tests: UDP and TCP on one loopback port, its zone an object literal, one named misbehaviour a name.
 * It answers as a validating resolver would: AD where every name on the way is `secure`, SERVFAIL for what is bogus.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { createServer, type Server, type Socket as TcpSocket } from 'node:net';
import { promisify } from 'node:util';
import packet from 'dns-packet';
import { misbehaviourOf, replies, type SeenQuery, type Zone } from './dns-zone.ts';

export type TestDnsServer = AsyncDisposable & {
  readonly address: string;
  readonly port: number;
  /** May be changed while it runs. */
  readonly zone: Zone;
  readonly seen: SeenQuery[];
};

const PIECE_DELAY = 10;
const SLOW = 1_000;

function parse(bytes: Buffer, from: { transport: 'udp' | 'tcp'; sourcePort: number }): SeenQuery | null {
  const query = packet.decode(bytes);
  const question = query.questions[0];
  if (question === undefined) return null;
  const option = query.additionals.find((record) => record.type === 'OPT');
  return {
    ...from,
    name: question.name.toLowerCase(),
    type: question.type,
    id: query.id,
    dnssecOk: ((option?.flags ?? 0) & packet.DNSSEC_OK) !== 0,
    checkingDisabled: query.flag_cd,
    edns: option !== undefined,
  };
}

/** What both transports share: the zone, what was seen, and answers that still wait. */
type State = { readonly zone: Zone; readonly seen: SeenQuery[]; readonly timers: Set<NodeJS.Timeout> };

function respond(state: State, query: SeenQuery | null, send: (bytes: Buffer) => void): void {
  if (query === null) return;
  state.seen.push(query);
  const messages = replies(state.zone, query);
  if (misbehaviourOf(state.zone, query) !== 'slow') return messages.forEach(send);
  const timer = setTimeout(() => {
    state.timers.delete(timer);
    messages.forEach(send);
  }, SLOW);
  state.timers.add(timer);
}

function serveUdp(state: State, socket: Socket, odd: Socket): void {
  socket.on('message', (bytes: Buffer, peer: RemoteInfo) => {
    const query = parse(bytes, { transport: 'udp', sourcePort: peer.port });
    const from = query !== null && misbehaviourOf(state.zone, query) === 'other-port' ? odd : socket;
    respond(state, query, (reply) => from.send(reply, peer.port, peer.address));
  });
}

function serveTcp(state: State, socket: TcpSocket): void {
  let received = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
    const query = parse(received.subarray(2), { transport: 'tcp', sourcePort: socket.remotePort ?? 0 });
    respond(state, query, (reply) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(reply.length);
      // In two pieces: a reader that takes a segment for a message fails here.
      socket.write(Buffer.concat([length, reply.subarray(0, 7)]));
      setTimeout(() => socket.write(reply.subarray(7)), PIECE_DELAY).unref();
    });
  });
}

function listen(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(0, address, () => {
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
    });
  });
}

function bind(socket: Socket, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => void socket.once('error', reject).bind(port, address, resolve));
}

/** Serves the zone on a free port of a loopback address, until disposed of. */
export async function startDnsServer(zone: Zone, address = '127.0.0.1'): Promise<TestDnsServer> {
  const state: State = { zone, seen: [], timers: new Set() };
  const family = address.includes(':') ? 'udp6' : 'udp4';
  const connections = new Set<TcpSocket>();
  const tcp = createServer((socket) => {
    connections.add(socket.on('close', () => connections.delete(socket)));
    serveTcp(state, socket);
  });
  const port = await listen(tcp, address);
  const [udp, odd] = [createSocket(family), createSocket(family)];
  await bind(udp, port, address);
  await bind(odd, 0, address);
  serveUdp(state, udp, odd);
  return {
    address,
    port,
    zone,
    seen: state.seen,
    async [Symbol.asyncDispose]() {
      for (const timer of state.timers) clearTimeout(timer);
      for (const socket of connections) socket.destroy();
      udp.close();
      odd.close();
      await promisify(tcp.close.bind(tcp))();
    },
  };
}
