/**
 * Opens a port and admits clients: smtp-server's SMTPServer with our own connections, our own TLS contexts and one timer for all
 * deadlines. The library's built-in certificate is never loaded into anything.
 */
import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { SMTPServer } from 'smtp-server';
import type { SMTPConnectionOptions, TLSError as TlsProblem } from 'smtp-server/lib/smtp-connection.js';
import { err, ok, type Result } from '../domain/basics.ts';
import type { ListenerConfig } from '../domain/config.ts';
import type { InboundContext, Listener, ListenProblem } from './context.ts';
import { asksForCertificate } from './inbound-connector-policy.ts';
import type { Admission } from './peer-limits.ts';
import { REPLIES, replyLine } from './reply-table.ts';
import { SmtpServerConnection } from './smtp-server-connection.ts';
import { CertificateJudge, Contexts } from './smtp-server-tls.ts';

/** How long a refused client may take to read why, in milliseconds. */
const REFUSAL_LINGER = 2000;
const ignore = (): void => undefined;

/** Opens a listener; resolves when it listens, or with why it cannot. */
export async function startListener(config: ListenerConfig, context: InboundContext): Promise<Result<Listener, ListenProblem>> {
  let server: InboundServer;
  try {
    server = new InboundServer(config, context);
  } catch (error) {
    return err({ kind: 'certificate', listener: config.name, detail: errorText(error) });
  }
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => resolve(err(listenProblem(config, error)));
    server.server.once('error', failed);
    server.listen({ host: config.host, port: config.port, reusePort: context.reusePort }, () => {
      server.server.off('error', failed);
      resolve(ok(server.open()));
    });
  });
}

const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function listenProblem(config: ListenerConfig, error: NodeJS.ErrnoException): ListenProblem {
  const kinds: Readonly<Record<string, ListenProblem['kind']>> = {
    EADDRINUSE: 'address-in-use',
    EACCES: 'not-permitted',
    EADDRNOTAVAIL: 'address-not-available',
  };
  return { kind: kinds[error.code ?? ''] ?? 'other', listener: config.name, detail: error.message };
}

class InboundServer extends SMTPServer {
  readonly #config: ListenerConfig;
  readonly #context: InboundContext;
  readonly #judge: CertificateJudge;
  /** Sessions whose socket is not closed yet; smtp-server's own set forgets them when they begin to end. */
  readonly #live = new Set<SmtpServerConnection>();
  /** How to give back the admission of a socket, be it the accepted one or the TLS socket on top of it. */
  readonly #releases = new WeakMap<Socket, () => void>();
  #admitted = 0;
  readonly #refused = new Set<Socket>();
  #sweeper: NodeJS.Timeout | undefined;
  #stopping = false;
  readonly #whenEmpty: (() => void)[] = [];

  constructor(config: ListenerConfig, context: InboundContext) {
    super({
      name: context.config().hostname,
      secure: config.tls === 'implicit',
      logger: false,
      disableReverseLookup: true,
      authOptional: true,
      disabledCommands: ['AUTH', 'XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
      socketTimeout: context.patience.handshake,
      // A client may have no certificate, or a bad one, and still hand over the mail of others.
      requestCert: false,
      rejectUnauthorized: false,
      // A client may close its side behind its last command and still wants the replies.
      allowHalfOpen: true,
    });
    this.#config = config;
    this.#context = context;
    const client = { asks: () => this.#asks(), anchors: () => context.clientAnchors() };
    this.#judge = new CertificateJudge(client);
    if (config.tls !== 'off') this.secureContext = new Contexts(context.tls, client);
  }

  #asks(): boolean {
    return asksForCertificate(this.#context.config().inbound);
  }

  /** Asks for a client certificate in the next handshake where some connector needs one, as things are now. */
  prepareHandshake(): void {
    this.options.requestCert = this.#asks();
  }

  /** Called by the library's constructor, which would load its public key here. */
  override updateSecureContext(): void {
    this.secureContext = new Map();
  }

  override _resolveSNI(name: string, done: (error: Error | null, context?: SecureContext) => void): void {
    done(null, this.secureContext.get(name.toLowerCase()));
  }

  /** The listener's handle, once it listens. */
  open(): Listener {
    this.#sweeper = setInterval(() => this.#sweep(), this.#context.patience.sweepEvery);
    this.#sweeper.unref();
    const address = this.server.address();
    return {
      port: typeof address === 'object' && address !== null ? address.port : this.#config.port,
      sessions: () => this.#admitted,
      drain: (signal) => this.#drain(signal),
      close: () => this.#closeAll(),
    };
  }

  // --- admitting

  /** The first to see an accepted socket. */
  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    socket.on('error', ignore);
    const address = socket.remoteAddress;
    if (address === undefined || this.#stopping) {
      socket.destroy();
      return false;
    }
    const ip = address.replace(/^::ffff:(?=\d+\.)/i, '');
    const admission = this.#context.peers.admit(ip, this.#context.config().limits);
    if (admission.kind === 'refused') {
      this.#refuse(socket, { ip, by: admission.by, handshake });
      return false;
    }
    return this.#admit(socket, admission, handshake);
  }

  #admit(socket: Socket, admission: Extract<Admission, { kind: 'admitted' }>, handshake: boolean): (() => void) | false {
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      admission.release();
      this.#admitted -= 1;
      if (this.#admitted === 0) for (const tell of this.#whenEmpty.splice(0)) tell();
    };
    this.#admitted += 1;
    this.#releases.set(socket, release);
    socket.once('close', release);
    return super._acceptSocket(socket, handshake);
  }

  #refuse(socket: Socket, why: { readonly ip: string; readonly by: 'total' | 'address'; readonly handshake: boolean }): void {
    const reply = why.by === 'total' ? REPLIES.tooManyConnections : REPLIES.tooManyFromAddress;
    const peer = { listener: this.#config.name, ip: why.ip, helo: null, tls: null };
    this.#context.log.sessionRejected({ ...peer, reason: reply.text, reply });
    if (why.handshake || this.#refused.size > 1000) {
      socket.destroy();
      return;
    }
    this.#refused.add(socket);
    socket.resume();
    socket.end(replyLine(reply));
    const linger = setTimeout(() => socket.destroy(), REFUSAL_LINGER);
    linger.unref();
    socket.once('close', () => {
      clearTimeout(linger);
      this.#refused.delete(socket);
    });
  }

  /** Implicit TLS: the session will run on the TLS socket. */
  override _upgrade(socket: Socket, done: (error: TlsProblem | null, secure?: TLSSocket) => void): void {
    this.prepareHandshake();
    super._upgrade(socket, (error, secure) => {
      if (secure !== undefined) this.#releases.set(secure, this.#releases.get(socket) ?? ignore);
      done(error, secure);
    });
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    socket.on('error', ignore);
    const release = this.#releases.get(socket) ?? ignore;
    if (this.#stopping || socket.destroyed || socket.remoteAddress === undefined) {
      socket.destroy();
      return;
    }
    const gone = (): void => {
      this.#live.delete(connection);
      release();
    };
    const connection = new SmtpServerConnection(this, socket, {
      ...options,
      context: this.#context,
      listener: this.#config,
      judge: this.#judge,
      prepareHandshake: () => this.prepareHandshake(),
      release: gone,
    });
    connection.on('error', ignore);
    this.connections.add(connection);
    this.#live.add(connection);
    connection.init();
  }

  override _onError(error: Error & { code?: string; meta?: { remoteAddress?: string } }): void {
    const ip = error.meta?.remoteAddress;
    if (ip === undefined) return;
    const reason = `TLS handshake failed (${error.code ?? 'closed'})`;
    this.#context.log.sessionRejected({ listener: this.#config.name, ip, helo: null, tls: null, reason, reply: null });
  }

  // --- time and the end

  #sweep(): void {
    const now = this.#context.clock.monotonic();
    for (const session of this.#live) session.sweep(now);
  }

  #stopListening(): Promise<void> {
    const already = this.#stopping;
    this.#stopping = true;
    // Destroys the topmost socket: taking a TLS wrap away from below during its handshake crashes Node.
    for (const top of this._pendingSockets.values()) top.destroy();
    for (const socket of this.#refused) socket.destroy();
    return new Promise((resolve) => {
      if (already || !this.server.listening) resolve();
      else this.server.close(() => resolve());
    });
  }

  async #drain(signal: AbortSignal): Promise<void> {
    void this.#stopListening();
    for (const session of this.#live) session.drain();
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await Promise.race([this.#empty(), aborted]);
    await this.#closeAll();
  }

  async #closeAll(): Promise<void> {
    clearInterval(this.#sweeper);
    const closed = this.#stopListening();
    for (const session of this.#live) session.destroy();
    await closed;
    await this.#empty();
  }

  #empty(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#admitted === 0) resolve();
      else this.#whenEmpty.push(resolve);
    });
  }
}
