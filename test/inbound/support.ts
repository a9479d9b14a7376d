/**
 * A listener on loopback with everything behind it in memory, and a client that speaks raw bytes.
 */
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Domain } from '../../src/domain/address.ts';
import type { Clock } from '../../src/domain/basics.ts';
import { err, ok } from '../../src/domain/basics.ts';
import type { Config, LimitsConfig, ListenerConfig } from '../../src/domain/config.ts';
import type { DomainPattern, InboundConnector } from '../../src/domain/connector.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { Claim, NewMessage } from '../../src/domain/queue.ts';
import type { UserConfig } from '../../src/domain/user.ts';
import {
  type InboundContext,
  type Listener,
  type LoginFailed,
  type MessageAccepted,
  type MessageRejected,
  type PolicyWouldBlock,
  type ServerTlsOptions,
  type SessionPatience,
  type SessionRejected,
  USUAL_PATIENCE,
} from '../../src/inbound/context.ts';
import { createPeerLimits, createPeerTable } from '../../src/inbound/peer-limits.ts';
import { startListener } from '../../src/inbound/smtp-server-listener.ts';
import type { BodyWriter, Spool, SpoolHealth, SpoolProblem } from '../../src/spool/spool.ts';
import { createAuthority } from '../support/certificates.ts';
import { testClock } from '../support/clock.ts';

export const exact = (domain: string): DomainPattern => ({ kind: 'exact', domain: domain as Domain });
export const below = (domain: string): DomainPattern => ({ kind: 'below', domain: domain as Domain });

export const LIMITS: LimitsConfig = {
  messageSizeBytes: 1_000_000,
  recipientsPerMessage: 100,
  connections: 200,
  connectionsPerAddress: 100,
  messagesPerMinutePerAddress: null,
  hops: 50,
  diskFreeBytes: 0,
};

type ConnectorChanges = Partial<Omit<InboundConnector, 'name' | 'match' | 'require'>> & {
  readonly match?: Partial<InboundConnector['match']>;
  readonly require?: Partial<InboundConnector['require']>;
};

/** An inbound connector with nothing in it but what the test says. */
export function connector(name: string, { match, require, ...given }: ConnectorChanges): InboundConnector {
  return {
    name,
    type: 'partner',
    enabled: true,
    testMode: false,
    acceptServerAuthOnly: true,
    ...given,
    match: { senderDomains: [], addresses: [], certificates: [], ...match },
    require: { tls: false, addresses: [], certificates: [], ...require },
  };
}

/** One thing changed of a quiet default. */
export type Changes = {
  readonly listener?: Partial<ListenerConfig>;
  readonly limits?: Partial<LimitsConfig>;
  readonly acceptedDomains?: readonly DomainPattern[];
  readonly inbound?: readonly InboundConnector[];
  readonly users?: readonly UserConfig[];
  /** PEM of what client certificates must chain to. */
  readonly anchors?: readonly string[];
  readonly checkPassword?: InboundContext['checkPassword'];
  readonly patience?: Partial<SessionPatience>;
  readonly clock?: Clock;
  readonly tls?: InboundContext['tls'];
  readonly health?: Partial<SpoolHealth>;
  readonly acceptProblem?: SpoolProblem;
  readonly bodyProblem?: SpoolProblem;
  readonly mayClaim?: boolean;
  /** Holds `accept` back until it resolves. */
  readonly gate?: Promise<void>;
};

export type StoredMessage = NewMessage & { readonly wire: Buffer; readonly claimed: boolean };
export type TestListener = {
  readonly port: number;
  readonly listener: Listener;
  readonly stored: readonly StoredMessage[];
  readonly offered: readonly Claim[];
  readonly abandoned: () => number;
  readonly bugs: readonly unknown[];
  readonly log: {
    readonly accepted: MessageAccepted[];
    readonly rejected: MessageRejected[];
    readonly sessions: SessionRejected[];
    readonly wouldBlock: PolicyWouldBlock[];
    readonly logins: LoginFailed[];
  };
};

/** The certificate everything is served with, for `relay.test`. */
export const relayCertificate = () => createAuthority('inbound').issue({ names: ['relay.test'] });
export const serverTls = (given: { readonly cert: string; readonly key: string }): ServerTlsOptions => ({
  key: [given.key],
  cert: [given.cert],
  minVersion: 'TLSv1.2',
});

const BASE_LISTENER: ListenerConfig = { name: 'mx', host: '127.0.0.1', port: 0, tls: 'starttls', requireTls: false, auth: 'off' };

function configOf(changes: Changes): Config {
  return {
    hostname: 'relay.test',
    acceptedDomains: changes.acceptedDomains ?? [exact('example.org'), below('example.org')],
    inbound: changes.inbound ?? [],
    users: changes.users ?? [],
    limits: { ...LIMITS, ...changes.limits },
  } as unknown as Config;
}

function memoryBody(changes: Changes, files: Map<string, Buffer>, abandon: () => void): BodyWriter {
  const pieces: Buffer[] = [];
  const path = `memory-${files.size}`;
  return {
    write: async (chunk) => {
      await new Promise((resolve) => setImmediate(resolve));
      pieces.push(Buffer.from(chunk));
      return changes.bodyProblem === undefined ? ok(undefined) : err(changes.bodyProblem);
    },
    finish: async () => {
      const wire = Buffer.concat(pieces);
      files.set(path, wire);
      return ok({ kind: 'file', path, wireBytes: wire.length });
    },
    abandon: async () => abandon(),
  };
}

/** Opens a listener with an in-memory spool. */
export async function openListener(changes: Changes = {}): Promise<TestListener> {
  const stored: StoredMessage[] = [];
  const offered: Claim[] = [];
  const bugs: unknown[] = [];
  const files = new Map<string, Buffer>();
  const log: TestListener['log'] = { accepted: [], rejected: [], sessions: [], wouldBlock: [], logins: [] };
  let abandoned = 0;
  let ids = 0;
  const spool: Pick<Spool, 'accept' | 'createBody' | 'health'> = {
    accept: async (message, claim) => {
      await (changes.gate ?? Promise.resolve());
      if (changes.acceptProblem !== undefined) return err(changes.acceptProblem);
      const wire = message.body.kind === 'memory' ? Buffer.from(message.body.wire) : files.get(message.body.path);
      stored.push({ ...message, wire: wire ?? Buffer.alloc(0), claimed: claim !== null });
      return ok(claim === null ? [] : [{ queueId: message.envelope.queueId } as Claim]);
    },
    createBody: async () => ok(memoryBody(changes, files, () => (abandoned += 1))),
    health: () => ({ writable: true, low: false, freeBytes: 1e9, problem: null, ...changes.health }),
  };
  const config = configOf(changes);
  const clock = changes.clock ?? testClock();
  const usual = serverTls(relayCertificate());
  const anchors = changes.anchors ?? [];
  const context: InboundContext = {
    config: () => config,
    spool: spool as Spool,
    tls: changes.tls ?? { optionsFor: () => usual },
    clientAnchors: () => anchors,
    checkPassword: changes.checkPassword ?? (async () => false),
    clock,
    newQueueId: () => `q${++ids}` as QueueId,
    peers: createPeerLimits({ memory: createPeerTable(1), thread: 0, seed: 7 }, clock),
    mayClaim: () => changes.mayClaim ?? true,
    leaseFor: 60_000,
    offer: (claims) => offered.push(...claims),
    log: {
      messageAccepted: (fields) => log.accepted.push(fields),
      messageRejected: (fields) => log.rejected.push(fields),
      sessionRejected: (fields) => log.sessions.push(fields),
      policyWouldBlock: (fields) => log.wouldBlock.push(fields),
      loginFailed: (fields) => log.logins.push(fields),
    },
    broke: (error) => bugs.push(error),
    patience: { ...USUAL_PATIENCE, loginDelay: 0, sweepEvery: 5, ...changes.patience },
    reusePort: false,
  };
  const opened = await startListener({ ...BASE_LISTENER, ...changes.listener }, context);
  if (!opened.ok) throw new Error(`${opened.error.kind}: ${opened.error.detail}`);
  return { port: opened.value.port, listener: opened.value, stored, offered, abandoned: () => abandoned, bugs, log };
}

/** A client that sends what it is told and collects what it hears. */
export class Client {
  #socket: Socket | TLSSocket;
  #heard = '';
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#heard += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('close', () => {
      if (socket === this.#socket) this.#closed = true;
      this.#wake();
    });
  }

  get socket(): Socket | TLSSocket {
    return this.#socket;
  }

  get heard(): string {
    return this.#heard;
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes);
  }

  async #until(done: () => boolean): Promise<void> {
    while (!done() && !this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** The next complete reply, its lines joined by `|`; empty where the connection was closed instead. */
  async reply(): Promise<string> {
    const complete = (): RegExpExecArray | null => /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/.exec(this.#heard);
    await this.#until(() => complete() !== null);
    const found = complete()?.[0] ?? '';
    this.#heard = this.#heard.slice(found.length);
    return found.trimEnd().replaceAll('\r\n', '|');
  }

  async replies(count: number): Promise<string[]> {
    const heard: string[] = [];
    for (let n = 0; n < count; n += 1) heard.push(await this.reply());
    return heard;
  }

  async command(line: string): Promise<string> {
    this.send(`${line}\r\n`);
    return this.reply();
  }

  /** Everything until the server closes. */
  async toEnd(): Promise<string> {
    await this.#until(() => false);
    return this.#heard;
  }

  async startTls(options: ConnectionOptions = {}): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    this.#heard = '';
    const secure = connectTls({ socket: plain, rejectUnauthorized: false, servername: 'relay.test', ...options });
    this.#socket = secure;
    this.#listen(secure);
    await new Promise<void>((resolve, reject) => {
      secure.once('secureConnect', resolve);
      secure.once('close', () => reject(new Error('handshake failed')));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** A client that has heard the greeting. */
export async function greeted(port: number): Promise<Client> {
  const client = await connected(port);
  await client.reply();
  return client;
}

export async function connected(port: number): Promise<Client> {
  const socket = connect({ port, host: '127.0.0.1' });
  const client = new Client(socket);
  await new Promise((resolve) => socket.once('connect', resolve));
  return client;
}

/** A client behind EHLO. */
export async function introduced(port: number): Promise<Client> {
  const client = await greeted(port);
  await client.command('EHLO client.test');
  return client;
}

/** Sends one message and returns the reply to its end. */
export async function sendMessage(client: Client, content: string | Buffer, recipient = 'b@example.org'): Promise<string> {
  client.send(`MAIL FROM:<a@client.test>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`);
  await client.replies(3);
  client.send(content);
  return client.reply();
}
