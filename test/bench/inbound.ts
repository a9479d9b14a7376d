/**
 * CPU time a message costs on its way in: 4 KB messages over kept connections into a spool that does nothing.
 * `node test/bench/inbound.ts [connections] [messages] [tls]`; the client runs in a process of its own and does not count.
 */
import { fork } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { argv } from 'node:process';
import { connect as connectTls } from 'node:tls';
import type { Config } from '../../src/domain/config.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import { type InboundContext, USUAL_PATIENCE } from '../../src/inbound/context.ts';
import { createPeerLimits, createPeerTable } from '../../src/inbound/peer-limits.ts';
import { startListener } from '../../src/inbound/smtp-server-listener.ts';
import type { Spool } from '../../src/spool/spool.ts';
import { exact, LIMITS, relayCertificate, serverTls } from '../inbound/support.ts';

const CONTENT = `Subject: bench\r\nFrom: a@client.test\r\n\r\n${`${'x'.repeat(74)}\r\n`.repeat(53)}.\r\n`;

/** One connection: envelope in one write, content in the next, as Postfix does it. */
function drive(socket: Socket, messages: number, done: () => void): void {
  const steps = [
    ['EHLO client.test\r\n', 1],
    ['MAIL FROM:<a@client.test> SIZE=4200\r\nRCPT TO:<b@example.org>\r\nDATA\r\n', 3],
    [CONTENT, 1],
  ] as const;
  let step = -1;
  let left = messages;
  let waiting = 1;
  socket.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString('latin1').split('\r\n')) if (/^\d{3} /.test(line)) waiting -= 1;
    if (waiting > 0) return;
    if (step === 2) left -= 1;
    if (left === 0) {
      socket.removeAllListeners('data').resume();
      return void socket.end('QUIT\r\n', done);
    }
    step = step < 2 ? step + 1 : 1;
    const [text, replies] = steps[step] ?? ['', 0];
    waiting = replies;
    socket.write(text);
  });
}

function client(port: number, connections: number, messages: number, tls: boolean): void {
  let open = connections;
  const done = (): void => {
    open -= 1;
    if (open === 0) process.disconnect();
  };
  for (let n = 0; n < connections; n += 1) {
    const socket = tls ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect(port, '127.0.0.1');
    drive(socket, Math.floor(messages / connections), done);
  }
}

async function server(connections: number, messages: number, tls: boolean): Promise<void> {
  const clock = { now: () => Date.now() as ReturnType<InboundContext['clock']['now']>, monotonic: () => performance.now() };
  const config = {
    hostname: 'relay.test',
    acceptedDomains: [exact('example.org')],
    inbound: [],
    users: [],
    limits: LIMITS,
  } as unknown as Config;
  const health = { writable: true, low: false, freeBytes: 1e9, problem: null };
  let stored = 0;
  const spool = {
    accept: async () => {
      stored += 1;
      return { ok: true, value: [] };
    },
    health: () => health,
  } as unknown as Spool;
  const options = serverTls(relayCertificate());
  const ignore = (): void => undefined;
  const opened = await startListener(
    { name: 'mx', host: '127.0.0.1', port: 0, tls: tls ? 'implicit' : 'starttls', requireTls: false, auth: 'off' },
    {
      config: () => config,
      spool,
      clock,
      tls: { optionsFor: () => options },
      newQueueId: () => `4f9d3c2a1b0e8d7c6b5a4f3e${stored}` as QueueId,
      peers: createPeerLimits({ memory: createPeerTable(1), thread: 0, seed: 1 }, clock),
      mayClaim: () => false,
      leaseFor: 60_000,
      offer: ignore,
      clientAnchors: () => [],
      checkPassword: async () => false,
      log: {
        messageAccepted: ignore,
        messageRejected: ignore,
        sessionRejected: ignore,
        policyWouldBlock: ignore,
        loginFailed: ignore,
      },
      broke: (error) => console.error(error),
      patience: USUAL_PATIENCE,
      reusePort: false,
    },
  );
  if (!opened.ok) throw new Error(opened.error.detail);
  const child = fork(import.meta.filename, [
    'client',
    String(opened.value.port),
    String(connections),
    String(messages),
    String(tls),
  ]);
  let start = { cpu: process.cpuUsage(), at: performance.now(), stored: 0 };
  const warm = setInterval(() => {
    if (stored < messages / 4) return;
    clearInterval(warm);
    start = { cpu: process.cpuUsage(), at: performance.now(), stored };
  }, 5);
  await new Promise((resolve) => child.once('disconnect', resolve));
  const cpu = process.cpuUsage(start.cpu);
  const counted = stored - start.stored;
  const seconds = (performance.now() - start.at) / 1000;
  console.log(
    `${stored} messages, ${Math.round(counted / seconds)}/s, ${((cpu.user + cpu.system) / counted).toFixed(1)} us CPU/message`,
  );
  await opened.value.close();
}

if (argv[2] === 'client') client(Number(argv[3]), Number(argv[4]), Number(argv[5]), argv[6] === 'true');
else await server(Number(argv[2] ?? 10), Number(argv[3] ?? 40_000), argv[4] === 'tls');
