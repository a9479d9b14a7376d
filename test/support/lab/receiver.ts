/**
 * One receiver of the lab: a listener on one loopback address with one behaviour, and what it saw. Survives whatever clients do;
 * `stop` leaves nothing open.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { type Authority, createAuthority, type IssuedCertificate } from '../certificates.ts';
import type { Behaviour } from './behaviour.ts';
import { type BehaviourName, behaviourOf } from './behaviour-table.ts';
import { labCertificate } from './certificate-table.ts';
import { Conversation, type ConversationSetting } from './conversation.ts';
import { type Fact, type FactOf, type Journal, openJournal, type Received } from './journal.ts';
import { openVoice } from './voice.ts';
import { openWire } from './wire.ts';

/** How a receiver is set up; everything has a default for tests. */
export type ReceiverOptions = {
  /** A loopback address, by default 127.0.0.1. */
  readonly address?: string;
  /** 0 (default): any free one. */
  readonly port?: number;
  /** Who signs its certificate; by default the authority `labAuthority()`. */
  readonly authority?: Authority;
  /** What it shows, instead of the certificate of its behaviour. */
  readonly certificate?: IssuedCertificate;
  /** What differs from the named behaviour: a good default with one thing changed. */
  readonly change?: (behaviour: Behaviour) => Behaviour;
  /** Milliseconds of a pause, for slow and drip; by default 50. */
  readonly pause?: number;
  /** Largest ClientHello record `large-hello-intolerant` bears, in octets; by default 256. */
  readonly largeHelloOctets?: number;
  /** How much of each message's content is kept; by default 1 MiB. */
  readonly keepOctets?: number;
  /** How many facts and messages are kept, the newest; by default all. */
  readonly remember?: number;
  /** Told of every fact as it happens. */
  readonly listener?: (fact: Fact) => void;
};

export type Receiver = {
  readonly address: string;
  readonly port: number;
  readonly behaviour: BehaviourName;
  /** The name its certificate is for, and in its greeting: `NAME.lab.test`. */
  readonly hostname: string;
  /** What it saw so far; grows. */
  readonly events: readonly Fact[];
  /** Those of one kind. */
  eventsOf<Event extends Fact['event']>(event: Event): readonly FactOf<Event>[];
  /** Messages whose final dot was answered with 250. */
  messages(): readonly Received[];
  /** Messages read to the final dot, whatever was answered. */
  seenMessages(): readonly Received[];
  /** All that came in the clear, on all connections, first 4 MiB. A test proves with it that nothing of a message did. */
  clearText(): string;
  /** Resolves once so many messages were accepted; rejects after `patience` milliseconds (default 10,000). */
  waitForMessages(count: number, patience?: number): Promise<readonly Received[]>;
  /** Resolves once there are so many facts of a kind (default one). */
  waitForEvent<Event extends Fact['event']>(event: Event, count?: number, patience?: number): Promise<readonly FactOf<Event>[]>;
  /** Closes listener and connections; resolves when all are gone. Idempotent. */
  stop(): Promise<void>;
};

const PATIENCE = 10_000;
const CLEAR_LIMIT = 4 * 1024 * 1024;
/** How long a connection we ended may stay open on the other side. */
const LINGER = 5_000;

/** The authority behind the lab's valid certificates in this process. */
export const labAuthority = (): Authority => createAuthority('Postern Lab');

/** Starts a receiver; rejects where the address cannot be had. */
export async function startReceiver(name: BehaviourName, options: ReceiverOptions = {}): Promise<Receiver> {
  const behaviour = (options.change ?? ((same: Behaviour) => same))(behaviourOf(name));
  const journal = openJournal({
    behaviour: name,
    remember: options.remember ?? Number.POSITIVE_INFINITY,
    listener: options.listener ?? (() => {}),
  });
  const clear = openClearText();
  const stopping = new AbortController();
  const hostname = `${name}.lab.test`;
  const shared = {
    behaviour,
    hostname,
    keepOctets: options.keepOctets ?? 1024 * 1024,
    handshake: { context: contextOf(behaviour, hostname, options), largeHelloOctets: options.largeHelloOctets ?? 256 },
    voice: openVoice(behaviour.pace, options.pause ?? 50, stopping.signal),
    clear: clear.add,
  };
  const server = createServer();
  const running = new Map<Socket, Promise<void>>();
  let connections = 0;
  server.on('connection', (socket) => {
    const held = hold(socket, settingOf(shared, journal, ++connections)).finally(() => running.delete(socket));
    running.set(socket, held);
  });
  const { address, port } = await bind(server, options);
  if (!behaviour.listens) await close(server);
  const stop = async (): Promise<void> => {
    stopping.abort();
    const closed = close(server);
    for (const socket of running.keys()) socket.destroy();
    await Promise.all([closed, ...running.values()]);
    journal.close();
  };
  return { address, port, behaviour: name, hostname, stop, clearText: clear.text, ...view(journal) };
}

function view(
  journal: Journal,
): Pick<Receiver, 'events' | 'eventsOf' | 'messages' | 'seenMessages' | 'waitForMessages' | 'waitForEvent'> {
  const accepted = (): readonly Received[] => journal.messages.filter((message) => message.accepted);
  const eventsOf = <Event extends Fact['event']>(event: Event): readonly FactOf<Event>[] =>
    journal.facts.filter((fact): fact is FactOf<Event> => fact.event === event);
  return {
    events: journal.facts,
    eventsOf,
    messages: accepted,
    seenMessages: () => [...journal.messages],
    async waitForMessages(count, patience = PATIENCE) {
      await journal.until(() => accepted().length >= count, patience);
      return accepted();
    },
    async waitForEvent(event, count = 1, patience = PATIENCE) {
      await journal.until(() => eventsOf(event).length >= count, patience);
      return eventsOf(event);
    },
  };
}

function contextOf(
  behaviour: Behaviour,
  hostname: string,
  options: Pick<ReceiverOptions, 'authority' | 'certificate'>,
): ReturnType<typeof createSecureContext> {
  const { ciphers, minVersion, maxVersion } = behaviour.tls;
  const { cert, key } = options.certificate ?? labCertificate(behaviour.tls, hostname, options.authority ?? labAuthority());
  return createSecureContext({
    cert,
    key,
    minVersion,
    maxVersion,
    honorCipherOrder: true,
    ...(ciphers === null ? {} : { ciphers }),
  });
}

type Shared = Omit<ConversationSetting, 'record' | 'deliver'>;

const settingOf = (shared: Shared, journal: Journal, connection: number): ConversationSetting => ({
  ...shared,
  record: (seen) => journal.record(connection, seen),
  deliver: ({ rest: _rest, eightBit: _eightBit, ...message }) => journal.deliver({ connection, ...message }),
});

/** One connection from accept to close. */
async function hold(socket: Socket, setting: ConversationSetting): Promise<void> {
  socket.setNoDelay(true);
  setting.record({ event: 'connection', peer: `${socket.remoteAddress}:${socket.remotePort}` });
  let linger: NodeJS.Timeout | undefined;
  socket.once('finish', () => {
    linger = setTimeout(() => socket.destroy(), LINGER);
  });
  const closed = socket.destroyed ? Promise.resolve() : new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const wire = openWire(socket, (problem) => setting.record({ event: 'error', problem }));
  // A bug of the lab must not take the other receivers down; it shows in the facts.
  await new Conversation(wire, setting).run().catch((bug: unknown) => {
    setting.record({ event: 'error', problem: `bug: ${String(bug)}` });
    socket.destroy();
  });
  socket.end();
  await closed;
  clearTimeout(linger);
}

async function bind(server: Server, options: ReceiverOptions): Promise<AddressInfo> {
  server.listen({ host: options.address ?? '127.0.0.1', port: options.port ?? 0 });
  await once(server, 'listening');
  return server.address() as AddressInfo;
}

const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

function openClearText(): { add(octets: Buffer): void; text(): string } {
  const parts: Buffer[] = [];
  let octets = 0;
  return {
    add(part) {
      if (octets >= CLEAR_LIMIT) return;
      parts.push(Buffer.from(part));
      octets += part.length;
    },
    text: () => Buffer.concat(parts).toString('latin1'),
  };
}
