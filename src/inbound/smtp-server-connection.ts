/**
 * One client on a socket: carries a Dialogue's replies and a Reception's octets. Keeps smtp-server's life cycle (STARTTLS upgrade,
 * half-close, clean-up) and replaces its commands, its reading, its timers and its 100 ms wait.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { Milliseconds } from '../domain/basics.ts';
import type { ListenerConfig } from '../domain/config.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { InboundContext } from './context.ts';
import { Outbox, whenTaken } from './outbox.ts';
import { judgePatience } from './patience-policy.ts';
import { type MessageSource, Reception } from './receive.ts';
import { REPLIES, replyLine } from './reply-table.ts';
import { Dialogue, type Secured, type Step } from './smtp-dialogue.ts';
import { type ParserSink, SmtpServerParser } from './smtp-server-parser.ts';
import { type CertificateJudge, tlsFacts } from './smtp-server-tls.ts';

/** What a connection is made with, besides what smtp-server wants. */
export type ConnectionWiring = SMTPConnectionOptions & {
  readonly context: InboundContext;
  readonly listener: ListenerConfig;
  readonly judge: CertificateJudge;
  /** Settles whether the next handshake asks for a client certificate. */
  readonly prepareHandshake: () => void;
  /** The connection is gone: gives back the peer's admission. Idempotent. */
  readonly release: () => void;
};

/** Waiting for a command; taking a message; the message is being stored, or a password checked. */
type Phase =
  | { readonly kind: 'command'; readonly since: Milliseconds }
  | { readonly kind: 'handshake'; readonly since: Milliseconds }
  | { readonly kind: 'message'; readonly since: Milliseconds; readonly reception: Reception }
  | { readonly kind: 'busy' };

/** A session on a socket. */
export class SmtpServerConnection extends SMTPConnection implements ParserSink {
  readonly #wiring: ConnectionWiring;
  readonly #dialogue: Dialogue;
  readonly #began: Milliseconds;
  #phase: Phase;
  readonly #outbox = new Outbox();
  #draining = false;
  #handshakeFailed = false;
  /** The socket to cut: the TLS socket while it shakes hands on top of `_socket`. */
  #topSocket: Socket;

  constructor(server: SMTPServer, socket: Socket, wiring: ConnectionWiring) {
    super(server, socket, wiring);
    this.#wiring = wiring;
    this.#topSocket = socket;
    this.#began = wiring.context.clock.monotonic();
    this.#phase = { kind: 'command', since: this.#began };
    const ip = this.remoteAddress.split('%')[0] ?? '';
    const secured = socket instanceof TLSSocket ? this.#proven(socket) : null;
    this.#dialogue = new Dialogue({ ip, listener: wiring.listener, secured }, wiring.context);
  }

  #proven(socket: TLSSocket): Secured {
    const { judge, context } = this.#wiring;
    return { tls: tlsFacts(socket), certificate: judge.judge(socket, context.clock.now()) };
  }

  /** Greets at once, but not before what the client may have sent too early has had a chance to be read. */
  override init(): void {
    this._setListeners(() => setImmediate(() => setImmediate(() => this.#greet())));
  }

  #greet(): void {
    if (this._closing || this._closed) return;
    this._ready = true;
    this.#say(this.#dialogue.greeting());
    this.flush();
  }

  // --- reading

  override _createParser(): SmtpServerParser {
    const parser = new SmtpServerParser(this);
    parser.on('error', () => this.#topSocket.destroy());
    // The client closed its side, and everything it sent before that has been answered.
    parser.on('finish', () => {
      if (this._parser === parser) this.close();
    });
    return parser;
  }

  get #parser(): SmtpServerParser | null {
    return this._parser instanceof SmtpServerParser ? this._parser : null;
  }

  commandLine(line: Buffer, bareLineFeed: boolean): void {
    if (this._closing || this._upgrading) return;
    if (!this._ready) return this.#end(REPLIES.talksTooSoon);
    this.#phase = { kind: 'command', since: this.#wiring.context.clock.monotonic() };
    this.#guard(() => this.#do(bareLineFeed ? this.#dialogue.malformed(REPLIES.bareLineFeed) : this.#dialogue.command(line)));
  }

  lineTooLong(): void {
    if (this._closing || this._upgrading) return;
    this.#end(this._ready ? REPLIES.lineTooLong : REPLIES.talksTooSoon);
  }

  messageData(chunk: Buffer): number {
    const phase = this.#phase;
    const parser = this.#parser;
    if (phase.kind !== 'message' || parser === null) return chunk.length;
    const reading = this.#guard(() => phase.reception.take(chunk));
    switch (reading) {
      case 'ended':
        parser.readingMessage = false;
        parser.hold();
        void this.#finish(phase.reception, parser);
        break;
      case 'more':
        if (phase.reception.wait !== null) {
          parser.hold();
          void phase.reception.wait.then(() => parser.continue());
        }
        break;
      case 'overrun':
        this.#end(REPLIES.tooLarge);
        break;
      case null:
        break;
    }
    return phase.reception.consumed;
  }

  async #finish(reception: Reception, parser: SmtpServerParser): Promise<void> {
    this.#phase = { kind: 'busy' };
    const reply = await reception.finish().catch((error: unknown) => {
      this.#wiring.context.broke(error);
      reception.abort();
      return REPLIES.storeBroken;
    });
    this.#phase = { kind: 'command', since: this.#wiring.context.clock.monotonic() };
    if (this._closed || this._closing) return;
    this.#do(this.#dialogue.messageDone(reply));
    if (this.#draining) this.#end(REPLIES.shuttingDown);
    parser.continue();
  }

  /** A bug of ours in one session must not reach the others. */
  #guard<T>(work: () => T): T | null {
    try {
      return work();
    } catch (error) {
      this.#wiring.context.broke(error);
      this.#end(REPLIES.internalError);
      return null;
    }
  }

  // --- answering

  #do(step: Step): void {
    switch (step.kind) {
      case 'reply':
        return this.#say(step.text);
      case 'quit':
        this.#say(step.text);
        return this.close();
      case 'close':
        this.#say(step.text);
        this.#rejected(step.reason);
        return this.close();
      case 'read-message':
        return this.#readMessage(step.text, step.source);
      case 'start-tls':
        return this.#startTls(step.text);
      case 'wait':
        void this.#await(step.step);
    }
  }

  /** The client waits for us: nothing is read meanwhile, and its time does not run. */
  async #await(pending: Promise<Step>): Promise<void> {
    const parser = this.#parser;
    parser?.hold();
    this.#phase = { kind: 'busy' };
    const step = await pending.catch((error: unknown) => {
      this.#wiring.context.broke(error);
      return null;
    });
    this.#phase = { kind: 'command', since: this.#wiring.context.clock.monotonic() };
    if (this._closed || this._closing) return;
    if (step === null) this.#end(REPLIES.internalError);
    else this.#do(step);
    if (this.#draining) this.#end(REPLIES.shuttingDown);
    parser?.continue();
  }

  #readMessage(text: string, source: MessageSource): void {
    const parser = this.#parser;
    if (parser === null) return;
    const { context } = this.#wiring;
    this.#phase = { kind: 'message', since: context.clock.monotonic(), reception: new Reception(source, context) };
    parser.readingMessage = true;
    this.#say(text);
  }

  #startTls(text: string): void {
    const retired = this.#parser;
    this.#say(text);
    this.flush();
    this.#phase = { kind: 'handshake', since: this.#wiring.context.clock.monotonic() };
    retired?.hold();
    this.upgrade(
      () => retired?.continue(),
      () => this.#secured(),
    );
  }

  /** Everything the client said in the clear is forgotten; the parser is a new one that never saw any of it. */
  #secured(): void {
    this.#phase = { kind: 'command', since: this.#wiring.context.clock.monotonic() };
    if (this._socket instanceof TLSSocket) this.#dialogue.secured(this.#proven(this._socket));
    if (this.#draining) this.#end(REPLIES.shuttingDown);
  }

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    const plain = this._socket;
    this.#wiring.prepareHandshake();
    super.upgrade(callback, secureCallback);
    // smtp-server took all listeners off the plain socket, the one that gives the admission back among them.
    plain.once('close', this.#wiring.release);
  }

  #say(text: string): void {
    this.#outbox.add(text);
  }

  flush(): void {
    // During a handshake `_socket` is still the plain one: nothing may go there.
    this.#outbox.flush(this._upgrading ? null : this._socket);
  }

  whenTaken(next: () => void): void {
    whenTaken(this._socket, next);
  }

  /** smtp-server's own replies (there is hardly a case left): as they are, without its enhanced codes. */
  override send(code: number, data?: string | string[] | null): void {
    this.#say(replyLine({ code, enhanced: null, text: [data ?? ''].flat().join(' ') }));
    this.flush();
    if (code === 421) this.close();
  }

  // --- ending

  #end(reply: SmtpReply): void {
    if (this._closing || this._closed) return;
    this.#say(replyLine(reply));
    this.#rejected(reply);
    this.close();
  }

  #rejected(reply: SmtpReply): void {
    if (reply === REPLIES.shuttingDown) return;
    this.#wiring.context.log.sessionRejected({ ...this.#dialogue.peer, reason: reply.text, reply });
  }

  override close(): void {
    this.flush();
    this.#abandon();
    super.close();
  }

  #abandon(): void {
    if (this.#phase.kind !== 'message') return;
    this.#phase.reception.abort();
    this.#phase = { kind: 'command', since: this.#wiring.context.clock.monotonic() };
  }

  /** Ends the session as soon as no message is under way. */
  drain(): void {
    this.#draining = true;
    switch (this.#phase.kind) {
      case 'command':
        this.#end(REPLIES.shuttingDown);
        break;
      case 'handshake':
        this.destroy();
        break;
      case 'message':
      case 'busy':
        break;
    }
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#topSocket.destroy();
  }

  override _onClose(): void {
    this.#wiring.release();
    this.#abandon();
    super._onClose();
  }

  override _onError(error: Error & { code?: string | undefined }): void {
    if (this.#phase.kind === 'handshake' && !this.#handshakeFailed) {
      this.#handshakeFailed = true;
      const reason = `TLS handshake failed (${error.code ?? 'closed'})`;
      this.#wiring.context.log.sessionRejected({ ...this.#dialogue.peer, reason, reply: null });
    }
    this.#topSocket.destroy();
  }

  // --- time

  /** No timer for each socket: the listener looks at all sessions now and then. */
  override _armTimeout(socket: Socket = this._socket): void {
    this.#topSocket = socket;
  }

  /** Ends the session where the client used up our patience. */
  sweep(now: Milliseconds): void {
    if (this._closing || this._closed) return;
    const phase = this.#phase;
    const verdict = judgePatience(this.#wiring.context.patience, {
      phase: phase.kind,
      session: now - this.#began,
      elapsed: phase.kind === 'busy' ? 0 : now - phase.since,
      bytes: phase.kind === 'message' ? phase.reception.bytes : 0,
      ourTurn: phase.kind === 'message' && phase.reception.wait !== null,
    });
    switch (verdict.kind) {
      case 'patient':
        break;
      case 'cut':
        this.destroy();
        break;
      case 'end':
        this.#end(verdict.reply);
        break;
    }
  }
}
