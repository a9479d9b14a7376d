/**
 * What a receiver does where TLS is due: a real handshake, or one of the ways in which it fails. Watches both first flights, so
 * that a test can compare what the relay says of a handshake with what was on the wire.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type SecureContext, TLSSocket } from 'node:tls';
import type { HandshakeConduct, TlsConduct } from './behaviour.ts';
import type { Seen, TlsSeen } from './journal.ts';
import { looksLikeTls, negotiatedGroup, parseClientHello, recordLength } from './tls-hello.ts';
import { openWire, type Wire } from './wire.ts';

export type HandshakeSetting = {
  readonly conduct: HandshakeConduct;
  readonly clientCertificate: TlsConduct['clientCertificate'];
  readonly context: SecureContext;
  readonly largeHelloOctets: number;
  readonly record: (seen: Seen) => void;
  /** Told of octets that came in the clear where a ClientHello was due. */
  readonly clear: (octets: Buffer) => void;
};

/** A secured wire and what is known of it. */
export type Secured = { readonly wire: Wire; readonly tls: TlsSeen };

const READY = '220 2.0.0 ready to start TLS\r\n';
const INJECTED = '250-lab.test injected in the clear\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1\r\n';
const GARBAGE = '\x00\x01\x02 this is no TLS at all \xff\xfe\r\n';
/** A record of type alert: fatal (2), handshake_failure (40). RFC 8446, section 6. */
const HANDSHAKE_FAILURE = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);
const FLIGHT_LIMIT = 64 * 1024;

/** Answers STARTTLS with 220 and goes on as the conduct says; null where no session came about and the connection is over. */
export async function answerStartTls(wire: Wire, setting: HandshakeSetting): Promise<Secured | null> {
  await wire.write(setting.conduct === 'inject' ? READY + INJECTED : READY);
  return secure(wire, setting);
}

/** The same without the 220: implicit TLS. */
export async function secure(wire: Wire, setting: HandshakeSetting): Promise<Secured | null> {
  if (setting.conduct === 'close') return null;
  const hello = await readClientHello(wire, setting);
  if (hello === null) return null;
  switch (setting.conduct) {
    case 'complete':
    case 'inject':
      return complete(wire, hello, setting);
    case 'refuse-large-hello':
      if (hello.length <= setting.largeHelloOctets) return complete(wire, hello, setting);
      wire.socket.resetAndDestroy();
      return null;
    case 'reset':
      wire.socket.resetAndDestroy();
      return null;
    case 'garbage':
      await wire.write(Buffer.from(GARBAGE, 'latin1'));
      return watch(wire, setting);
    case 'alert':
      await wire.write(HANDSHAKE_FAILURE);
      wire.socket.end();
      return watch(wire, setting);
    case 'stall':
      return watch(wire, setting);
  }
}

/** The octets of the whole ClientHello; null where the peer left or sent something else. */
async function readClientHello(wire: Wire, setting: HandshakeSetting): Promise<Buffer | null> {
  let octets: Buffer = Buffer.alloc(0);
  for (;;) {
    const more = await wire.chunk();
    if (more === null) return null;
    octets = Buffer.concat([octets, more]);
    if (octets.length > 1 && !looksLikeTls(octets)) {
      inTheClear(octets, setting);
      return watch(wire, setting);
    }
    const due = recordLength(octets);
    if (due !== null && octets.length >= due) break;
  }
  const hello = parseClientHello(octets);
  if (hello !== null) setting.record({ event: 'client-hello', ...hello });
  return octets;
}

/** Reads until the peer leaves, telling of anything that is no TLS. */
async function watch(wire: Wire, setting: HandshakeSetting): Promise<null> {
  for (let octets = await wire.chunk(); octets !== null; octets = await wire.chunk()) {
    if (!looksLikeTls(octets)) inTheClear(octets, setting);
  }
  return null;
}

function inTheClear(octets: Buffer, setting: HandshakeSetting): void {
  setting.record({ event: 'not-tls', octets: octets.length });
  setting.clear(octets);
}

async function complete(wire: Wire, hello: Buffer, setting: HandshakeSetting): Promise<Secured | null> {
  wire.detach();
  const tap = tapped(wire.socket, hello);
  const socket = new TLSSocket(tap.stream, {
    isServer: true,
    secureContext: setting.context,
    requestCert: setting.clientCertificate !== 'none',
    rejectUnauthorized: setting.clientCertificate === 'required',
  });
  const problem = await new Promise<string | null>((resolve) => {
    socket.once('secure', () => resolve(null));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('close', () => resolve('closed during the handshake'));
  });
  if (problem !== null) {
    setting.record({ event: 'error', problem });
    socket.on('error', () => {});
    socket.destroy();
    return null;
  }
  const cipher = socket.getCipher();
  const tls = {
    version: socket.getProtocol() ?? 'unknown',
    cipher: cipher.standardName,
    group: negotiatedGroup(tap.sent()),
    resumed: socket.isSessionReused(),
  };
  setting.record({ event: 'tls', ...tls });
  const shown = socket.getPeerX509Certificate();
  if (shown !== undefined) setting.record({ event: 'client-certificate', subject: shown.subject });
  return { wire: openWire(socket, (text) => setting.record({ event: 'error', problem: text })), tls };
}

/** The socket as a stream that starts with octets already read and keeps a copy of the first ones written. */
function tapped(socket: Socket, first: Buffer): { readonly stream: Duplex; sent(): Buffer } {
  const sent: Buffer[] = [];
  let sentOctets = 0;
  const stream = new Duplex({
    read: () => void socket.resume(),
    write(octets: Buffer, _encoding, done) {
      if (sentOctets < FLIGHT_LIMIT) {
        sent.push(Buffer.from(octets));
        sentOctets += octets.length;
      }
      socket.write(octets, done);
    },
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  stream.push(first);
  socket.on('data', (octets: Buffer) => {
    if (!stream.push(octets)) socket.pause();
  });
  socket.on('end', () => stream.push(null));
  socket.on('close', () => stream.destroy());
  return { stream, sent: () => Buffer.concat(sent) };
}
