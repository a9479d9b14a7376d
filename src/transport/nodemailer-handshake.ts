/**
 * Brings a TCP connection up to the last EHLO on one rung: greeting, EHLO, STARTTLS, EHLO inside TLS, by nodemailer's SMTPConnection.
 * The phase in which something fails is kept here; after success the socket is handed over and nodemailer lets go of it.
 */
import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Milliseconds } from '../domain/basics.ts';
import type { Command, SmtpReply } from '../domain/outcome.ts';
import type { TlsFailure } from '../domain/tls.ts';
import { presentedPeer, tlsFacts } from './nodemailer-peer.ts';
import { openTlsContexts } from './nodemailer-tls-contexts.ts';
import { ReplyParser } from './reply-parser.ts';
import type { ConnectPlan, OpenFailure, SessionFacts } from './session.ts';

type Phase = 'greeting' | 'ehlo' | 'starttls' | 'handshake' | 'tls-ehlo';

/** The parts of nodemailer 10.6.0 its type file hides; test/transport/nodemailer-contract.test.ts pins them. */
type Hidden = {
  options: { ignoreTLS?: boolean };
  _remainder: string;
  _responseQueue: string[];
  _destroyed: boolean;
  readonly _onSocketData: (chunk: Buffer) => void;
  readonly _onSocketError: (error: Error) => void;
  readonly _onSocketClose: () => void;
  readonly _onSocketEnd: () => void;
  readonly _onSocketTimeout: () => void;
  _onError(error: Error, type: string, reply: string | false, command: string): void;
  _startPhase(timeout: Milliseconds, error: Error): void;
  _actionGreeting(reply: string): void;
  _actionEHLO(reply: string): void;
  _actionSTARTTLS(reply: string): void;
  _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void;
};
const Base = SMTPConnection as unknown as new (options: object) => InstanceType<typeof SMTPConnection> & Hidden;

/** What the handshake ended in. */
export type HandshakeResult =
  | { readonly ok: true; readonly socket: Socket; readonly facts: SessionFacts }
  | { readonly ok: false; readonly error: OpenFailure };

const IMPLICIT_NEEDS_TLS: HandshakeResult = { ok: false, error: { kind: 'local', detail: 'implicit TLS has no plaintext' } };

/** Makes handshakes; one for each transport, since it keeps the TLS contexts of the rungs. */
export function createHandshaker(): (socket: Socket, plan: ConnectPlan) => Promise<HandshakeResult> {
  const contextOf = openTlsContexts();
  return (socket, plan) =>
    new Promise((resolve) => {
      // TLS from the first byte cannot be left: a plan for plaintext there is a bug, and a bug must not talk in the clear.
      if (plan.implicitTls && plan.rung === 'plaintext') return resolve(IMPLICIT_NEEDS_TLS);
      const context = plan.rung === 'plaintext' ? null : contextOf(plan.rung, plan);
      new Handshake(socket, plan, { context, done: resolve }).connect();
    });
}

class Handshake extends Base {
  readonly #plan: ConnectPlan;
  readonly #done: (result: HandshakeResult) => void;
  #phase: Phase = 'greeting';
  #timer: NodeJS.Timeout | undefined;
  #ehlo: readonly string[] = [];
  #tlsFailure: TlsFailure | null = null;
  #finished = false;

  constructor(
    socket: Socket,
    plan: ConnectPlan,
    wiring: { readonly context: SecureContext | null; readonly done: (result: HandshakeResult) => void },
  ) {
    super({
      connection: socket,
      host: plan.host ?? plan.address,
      port: plan.port,
      name: plan.helo,
      secure: plan.implicitTls,
      opportunisticTLS: true,
      ignoreTLS: plan.rung === 'plaintext',
      maxResponseSize: 65536,
      socketTimeout: 2 ** 31 - 1,
      tls: {
        secureContext: wiring.context,
        servername: plan.serverName ?? '',
        // The name is the policy's to judge, apart from the chain.
        checkServerIdentity: () => undefined,
        // Judged after the handshake by policy, never by the library: an opportunistic peer's certificate is recorded, not required.
        rejectUnauthorized: false,
      },
    });
    this.#plan = plan;
    this.#done = wiring.done;
    this.once('error', () => this.#fail(this.#broken('closed')));
    this.once('end', () => this.#fail(this.#broken('closed')));
    this.once('connect', () => this.#succeed());
    if (plan.implicitTls) this.#enter('handshake', plan.timeouts.tls);
    else this.#enter('greeting', plan.timeouts.greeting);
  }

  /** Phases are timed here, each as a whole: a peer that drips bytes gains nothing. */
  override _startPhase(): void {}

  override _onError(error: Error & { code?: string }, type: string, reply: string | false, command: string): void {
    this.#fail(reply === false ? this.#broken(type === 'EPROTOCOL' ? 'malformed' : 'closed', error.code) : this.#refusal(reply));
    super._onError(error, type, reply, command);
  }

  override _actionGreeting(reply: string): void {
    if (!this.secure) this.#enter('ehlo', this.#plan.timeouts.command);
    if (!reply.startsWith('220')) return this.#fail({ ...this.#refusal(reply), command: 'connect' } as OpenFailure);
    super._actionGreeting(reply);
  }

  override _actionEHLO(reply: string): void {
    const lines = reply
      .split(/\r?\n/)
      .slice(1, 100)
      .map((line) => line.slice(4).trim());
    if (reply.startsWith('2')) this.#ehlo = lines;
    if (!this.secure && this.#plan.rung !== 'plaintext') {
      const offered = lines.some((line) => /^STARTTLS$/i.test(line));
      if (!offered && reply.startsWith('2')) {
        this.#tlsFailure = { kind: 'not-offered' };
        if (this.#plan.tlsRequired) return this.#fail({ kind: 'tls', failure: this.#tlsFailure });
      }
      this.options.ignoreTLS = !offered;
      if (offered) this.#enter('starttls', this.#plan.timeouts.command);
    }
    super._actionEHLO(reply);
  }

  override _actionSTARTTLS(reply: string): void {
    if (!reply.startsWith('220')) {
      const { code, text } = parseReply(reply);
      this.#tlsFailure = { kind: 'refused', code, text };
      if (this.#plan.tlsRequired) return this.#fail({ kind: 'tls', failure: this.#tlsFailure });
      // Any other 2xx would make nodemailer start a handshake.
      return super._actionSTARTTLS(`454 ${text}`);
    }
    // RFC 3207, section 4.2; security: what stands behind the 220 was put there by someone on the path.
    if (this._remainder.length > 0 || this._responseQueue.length > 0)
      return this.#fail({ kind: 'tls', failure: { kind: 'injected' } });
    this.#enter('handshake', this.#plan.timeouts.tls);
    super._actionSTARTTLS(reply);
  }

  override _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void {
    super._upgradeConnection((error, secured) => {
      if (error !== null) return this.#fail({ kind: 'local', detail: `cannot start TLS: ${error.message}` });
      const { tls, greeting } = this.#plan.timeouts;
      this.#enter('tls-ehlo', this.#plan.implicitTls ? Math.max(tls, greeting) : tls);
      callback(error, secured);
    });
  }

  #enter(phase: Phase, patience: Milliseconds): void {
    this.#phase = phase;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(this.#broken('timeout')), patience);
  }

  /** What a broken connection means in this phase (interface.md, section 4: the phase decides). */
  #broken(problem: 'closed' | 'timeout' | 'malformed', code?: string): OpenFailure {
    switch (this.#phase) {
      case 'greeting':
        return { kind: 'broken', command: 'connect', problem };
      case 'ehlo':
        return { kind: 'broken', command: 'ehlo', problem };
      case 'starttls':
        return { kind: 'broken', command: 'starttls', problem };
      case 'handshake':
      case 'tls-ehlo':
        return {
          kind: 'tls',
          failure: problem === 'timeout' ? { kind: 'handshake-timeout' } : { kind: 'handshake', alert: code ?? null },
        };
    }
  }

  #refusal(reply: string): OpenFailure {
    const command: Command = this.#phase === 'greeting' ? 'connect' : this.#phase === 'starttls' ? 'starttls' : 'ehlo';
    return { kind: 'reply', command, reply: parseReply(reply) };
  }

  #fail(error: OpenFailure): void {
    if (this.#finished) return;
    this.#finish();
    this.#done({ ok: false, error });
    const socket = this._socket;
    this.close();
    if (socket !== null && socket !== false) socket.destroy();
  }

  #succeed(): void {
    if (this.#finished) return;
    const socket = this._socket;
    if (socket === null || socket === false || this._remainder.length > 0 || this._responseQueue.length > 0)
      return this.#fail(this.#broken('malformed'));
    this.#finish();
    this.#letGo(socket);
    this.#done({ ok: true, socket, facts: this.#facts(socket) });
  }

  #finish(): void {
    this.#finished = true;
    clearTimeout(this.#timer);
  }

  /** From here on the session owns the socket; an error between the two owners must find a listener. */
  #letGo(socket: Socket): void {
    socket.on('error', () => {});
    socket.removeListener('data', this._onSocketData);
    socket.removeListener('error', this._onSocketError);
    socket.removeListener('close', this._onSocketClose);
    socket.removeListener('end', this._onSocketEnd);
    socket.removeListener('timeout', this._onSocketTimeout);
    socket.setTimeout(0);
    this._destroyed = true;
  }

  #facts(socket: Socket): SessionFacts {
    const extensions = new Map(this.#ehlo.map((line) => splitKeyword(line)));
    const limit = Number(extensions.get('SIZE') ?? '');
    const peer = this.secure ? presentedPeer(socket as TLSSocket, extensions.has('REQUIRETLS')) : null;
    return {
      tls: peer === null ? null : tlsFacts(socket as TLSSocket, peer, this.#plan.host),
      peer,
      rung: this.secure ? this.#plan.rung : 'plaintext',
      tlsFailure: this.secure ? null : this.#tlsFailure,
      extensions,
      sizeLimit: Number.isSafeInteger(limit) && limit > 0 ? limit : null,
      remoteAddress: this.#plan.address,
    };
  }
}

/** One EHLO line as keyword and parameters; `AUTH=PLAIN` is an old way to write `AUTH PLAIN`. */
function splitKeyword(line: string): readonly [string, string] {
  const at = line.search(/[ =]/);
  return at === -1 ? [line.toUpperCase(), ''] : [line.slice(0, at).toUpperCase(), line.slice(at + 1)];
}

function parseReply(text: string): SmtpReply {
  const replies: SmtpReply[] = [];
  new ReplyParser().feed(Buffer.from(`${text.replace(/\r?\n/g, '\r\n')}\r\n`), (reply) => void replies.push(reply));
  return replies[0] ?? { code: 0, enhanced: null, text: '' };
}
