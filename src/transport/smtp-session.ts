/**
 * One open connection after its last EHLO: carries transactions one at a time. The envelope goes out in one write where the
 * peer pipelines (RFC 2920), the body as it lies in the spool. Says what the peer answered; what that means is judged elsewhere.
 */
import type { Socket } from 'node:net';
import { err, type Milliseconds, ok, type Result } from '../domain/basics.ts';
import type { Credentials } from '../domain/connector.ts';
import type { Command, SmtpReply } from '../domain/outcome.ts';
import type { Body } from '../domain/queue.ts';
import { sendBodyFile } from './body-file-sender.ts';
import type { Deadlines, Watched } from './deadlines.ts';
import { ReplyParser } from './reply-parser.ts';
import type { ConnectPlan, OpenFailure, Session, SessionFacts, Transaction, TransactionResult } from './session.ts';
import { isCleanCommand, mailCommand, rcptCommand } from './smtp-commands-format.ts';

type Broken = 'closed' | 'timeout' | 'malformed';
type Answer = { readonly command: Command; readonly reply: SmtpReply };
type Answers = Map<number, Answer>;
type Awaiting = { readonly resolve: (outcome: Result<SmtpReply, Broken>) => void };

const FINAL_DOT = Buffer.from('.\r\n');

/** Wraps a socket whose handshake is over. `deadlines` is shared by all sessions of the transport. */
export function openSmtpSession(
  socket: Socket,
  facts: SessionFacts,
  wiring: { readonly plan: ConnectPlan; readonly deadlines: Deadlines },
): SmtpSession {
  return new SmtpSession(socket, facts, wiring);
}

export class SmtpSession implements Session, Watched {
  readonly facts: SessionFacts;
  deadline: Milliseconds = Number.POSITIVE_INFINITY;
  readonly #socket: Socket;
  readonly #plan: ConnectPlan;
  readonly #deadlines: Deadlines;
  readonly #parser = new ReplyParser();
  readonly #received: SmtpReply[] = [];
  readonly #onReply = (reply: SmtpReply): void => this.#take(reply);
  #awaiting: Awaiting | null = null;
  #ended: Broken | null = null;
  /** Replies the peer still owes us; one that comes unasked ends the session. */
  #owed = 0;
  /** The 421 the peer left with: its answer to all it left unanswered. */
  #farewell: SmtpReply | null = null;
  #closeListeners: (() => void)[] = [];

  constructor(socket: Socket, facts: SessionFacts, wiring: { readonly plan: ConnectPlan; readonly deadlines: Deadlines }) {
    this.facts = facts;
    this.#socket = socket;
    this.#plan = wiring.plan;
    this.#deadlines = wiring.deadlines;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => this.#end('closed'));
    socket.on('end', () => this.#end('closed'));
    socket.on('close', () => this.#end('closed'));
    const { command, data } = wiring.plan.timeouts;
    this.#deadlines.watch(this, Math.min(command, data));
    // The peer may have gone while the socket changed hands.
    if (socket.destroyed || socket.readableEnded) this.#end('closed');
  }

  get alive(): boolean {
    return this.#ended === null;
  }

  onClose(listener: () => void): void {
    if (this.#ended !== null) listener();
    else this.#closeListeners.push(listener);
  }

  async authenticate(credentials: Credentials): Promise<OpenFailure | null> {
    // Last line of defence: whatever led here, credentials are not written into a connection in the clear.
    if (this.facts.tls === null) return { kind: 'local', detail: 'refused to send credentials without TLS' };
    const offered = (this.facts.extensions.get('AUTH') ?? '').toUpperCase().split(/[ =]+/);
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const { user, password } = credentials;
    const lines = offered.includes('PLAIN')
      ? [`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`]
      : offered.includes('LOGIN')
        ? ['AUTH LOGIN', base64(user), base64(password)]
        : [];
    if (lines.length === 0)
      return { kind: 'local', detail: 'the server offers no way of authentication that this relay speaks (PLAIN, LOGIN)' };
    for (const [at, line] of lines.entries()) {
      const reply = await this.#ask(line);
      if (!reply.ok) return { kind: 'broken', command: 'auth', problem: reply.error };
      if (reply.value.code !== (at === lines.length - 1 ? 235 : 334))
        return { kind: 'reply', command: 'auth', reply: reply.value };
    }
    return null;
  }

  async deliver(transaction: Transaction): Promise<TransactionResult> {
    // Last line of defence: whatever led here, a message that needs TLS is not written into a connection without it.
    if (this.#plan.tlsRequired && this.facts.tls === null)
      return { kind: 'local', detail: 'refused to send over a connection without the TLS it needs' };
    const { envelope, recipients } = transaction;
    const mail = mailCommand(envelope, recipients, this.facts.extensions);
    const rcpts = recipients.map((recipient) => rcptCommand(recipient, this.facts.extensions));
    if (!isCleanCommand(mail) || !rcpts.every(isCleanCommand))
      return { kind: 'local', detail: 'an address holds a control character' };
    return this.facts.extensions.has('PIPELINING')
      ? this.#pipelined(transaction, [mail, ...rcpts])
      : this.#stepByStep(transaction, [mail, ...rcpts]);
  }

  async sound({ envelope, recipients }: Pick<Transaction, 'envelope' | 'recipients'>): Promise<TransactionResult> {
    const answers: Answers = new Map();
    const lines = [
      mailCommand(envelope, recipients, this.facts.extensions),
      ...recipients.map((recipient) => rcptCommand(recipient, this.facts.extensions)),
    ];
    if (!lines.every(isCleanCommand)) return { kind: 'local', detail: 'an address holds a control character' };
    for (const [at, line] of lines.entries()) {
      const command: Command = at === 0 ? 'mail' : 'rcpt';
      const reply = await this.#ask(line);
      if (!reply.ok) return { kind: 'broken', command, problem: reply.error, inDoubt: false, replies: answers };
      const refused = at === 0 && reply.value.code >= 300;
      for (const { number } of refused ? recipients : recipients.slice(at - 1, at))
        answers.set(number, { command, reply: reply.value });
      if (refused) break;
    }
    return { kind: 'answered', replies: answers, reusable: await this.reset() };
  }

  async #pipelined(transaction: Transaction, commands: readonly string[]): Promise<TransactionResult> {
    const { recipients } = transaction;
    const answers: Answers = new Map();
    this.#write(`${commands.join('\r\n')}\r\nDATA\r\n`, commands.length + 1);
    const mail = await this.#reply(this.#plan.timeouts.command);
    if (!mail.ok) return this.#brokenIn('mail', mail.error, { transaction, answers });
    for (const { number } of recipients) {
      const rcpt = await this.#reply(this.#plan.timeouts.command);
      if (!rcpt.ok) return this.#brokenIn('rcpt', rcpt.error, { transaction, answers });
      if (mail.value.code >= 300) answers.set(number, { command: 'mail', reply: mail.value });
      else if (rcpt.value.code >= 300) answers.set(number, { command: 'rcpt', reply: rcpt.value });
    }
    const data = await this.#reply(this.#plan.timeouts.command);
    if (!data.ok) return this.#brokenIn('data', data.error, { transaction, answers });
    if (data.value.code !== 354) return this.#refusedData(transaction, data.value, answers);
    if (answers.size < recipients.length) return this.#sendBody(transaction, answers);
    // RFC 2920, section 3.1: the peer said 354 though no recipient stands; end the empty message.
    this.#socket.write(FINAL_DOT);
    this.#owed += 1;
    const dot = await this.#reply(this.#plan.timeouts.data);
    return dot.ok
      ? { kind: 'answered', replies: answers, reusable: false }
      : this.#brokenIn('rcpt', dot.error, { transaction, answers });
  }

  async #stepByStep(transaction: Transaction, commands: readonly string[]): Promise<TransactionResult> {
    const answers: Answers = new Map();
    const [mailLine, ...rcptLines] = commands;
    const mail = await this.#ask(mailLine ?? '');
    if (!mail.ok) return this.#brokenIn('mail', mail.error, { transaction, answers });
    if (mail.value.code >= 300) {
      for (const { number } of transaction.recipients) answers.set(number, { command: 'mail', reply: mail.value });
      return { kind: 'answered', replies: answers, reusable: false };
    }
    for (const [at, { number }] of transaction.recipients.entries()) {
      const rcpt = await this.#ask(rcptLines[at] ?? '');
      if (!rcpt.ok) return this.#brokenIn('rcpt', rcpt.error, { transaction, answers });
      if (rcpt.value.code >= 300) answers.set(number, { command: 'rcpt', reply: rcpt.value });
    }
    if (answers.size === transaction.recipients.length) return { kind: 'answered', replies: answers, reusable: false };
    const data = await this.#ask('DATA');
    if (!data.ok) return this.#brokenIn('data', data.error, { transaction, answers });
    return data.value.code === 354 ? this.#sendBody(transaction, answers) : this.#refusedData(transaction, data.value, answers);
  }

  #refusedData(transaction: Transaction, reply: SmtpReply, answers: Answers): TransactionResult {
    for (const { number } of transaction.recipients) if (!answers.has(number)) answers.set(number, { command: 'data', reply });
    return { kind: 'answered', replies: answers, reusable: false };
  }

  async #sendBody(transaction: Transaction, answers: Answers): Promise<TransactionResult> {
    const sent = await this.#writeBody(transaction.body);
    if (!sent.ok) {
      // Without the final dot the peer must not take what it has (RFC 5321, section 4.1.1.4): nothing arrived.
      this.destroy();
      return { kind: 'local', detail: sent.error };
    }
    const dot = await this.#reply(this.#plan.timeouts.data);
    if (!dot.ok)
      return { kind: 'broken', command: sent.value ? 'dot' : 'data', problem: dot.error, inDoubt: sent.value, replies: answers };
    for (const { number } of transaction.recipients)
      if (!answers.has(number)) answers.set(number, { command: 'dot', reply: dot.value });
    return { kind: 'answered', replies: answers, reusable: this.alive && dot.value.code < 300 };
  }

  /** Writes body and final dot. False: the connection broke before the dot was handed to the system. */
  async #writeBody(body: Body): Promise<Result<boolean, string>> {
    this.#owed += 1;
    this.deadline = this.#deadlines.from(this.#plan.timeouts.data);
    if (body.kind === 'memory') {
      this.#socket.cork();
      this.#socket.write(body.wire);
      this.#socket.write(FINAL_DOT);
      this.#socket.uncork();
      return ok(true);
    }
    const sent = await sendBodyFile(body, this.#socket, () => {
      this.deadline = this.#deadlines.from(this.#plan.timeouts.data);
    });
    if (!sent.ok) return this.alive ? err(sent.error) : ok(false);
    if (!this.alive) return ok(false);
    this.#socket.write(FINAL_DOT);
    return ok(true);
  }

  async reset(): Promise<boolean> {
    if (this.#ended !== null) return false;
    const reply = await this.#ask('RSET');
    return reply.ok && reply.value.code === 250 && this.alive;
  }

  async quit(): Promise<void> {
    if (this.#ended !== null) return;
    this.#write('QUIT\r\n', 1);
    // Politeness has no use for the answer; half-closing would lose nothing, waiting would hold the descriptor.
    this.#end('closed');
    this.#socket.end();
    const grace = setTimeout(() => this.#socket.destroy(), 1000);
    grace.unref();
    this.#socket.once('close', () => clearTimeout(grace));
  }

  destroy(): void {
    this.#end('closed');
    this.#socket.destroy();
  }

  /** Called by `Deadlines` when the peer was silent for too long. */
  expire(): void {
    this.#end('timeout');
    this.#socket.destroy();
  }

  #ask(line: string): Promise<Result<SmtpReply, Broken>> {
    this.#write(`${line}\r\n`, 1);
    return this.#reply(this.#plan.timeouts.command);
  }

  #write(text: string, replies: number): void {
    if (this.#ended !== null) return;
    this.#owed += replies;
    this.#socket.write(text);
  }

  #reply(patience: Milliseconds): Promise<Result<SmtpReply, Broken>> {
    const next = this.#received.shift();
    if (next !== undefined) return Promise.resolve(ok(next));
    if (this.#ended !== null) return Promise.resolve(err(this.#ended));
    this.deadline = this.#deadlines.from(patience);
    return new Promise((resolve) => {
      this.#awaiting = { resolve };
    });
  }

  #read(chunk: Buffer): void {
    if (this.#ended !== null) return;
    const problem = this.#parser.feed(chunk, this.#onReply);
    if (problem === null) return;
    this.#end('malformed');
    this.#socket.destroy();
  }

  #take(reply: SmtpReply): void {
    if (reply.code === 421) this.#farewell = reply;
    if (this.#owed === 0) {
      this.#end(reply.code === 421 ? 'closed' : 'malformed');
      this.#socket.destroy();
      return;
    }
    this.#owed -= 1;
    const awaiting = this.#awaiting;
    this.#awaiting = null;
    this.deadline = Number.POSITIVE_INFINITY;
    if (awaiting !== null) awaiting.resolve(ok(reply));
    else this.#received.push(reply);
    // RFC 5321, section 3.8: after 421 the peer closes; what it owes us will not come.
    if (reply.code === 421) {
      this.#end('closed');
      this.#socket.end();
    }
  }

  #brokenIn(
    command: Command,
    problem: Broken,
    { transaction, answers }: { readonly transaction: Transaction; readonly answers: Answers },
  ): TransactionResult {
    if (this.#farewell === null) return { kind: 'broken', command, problem, inDoubt: false, replies: answers };
    for (const { number } of transaction.recipients)
      if (!answers.has(number)) answers.set(number, { command, reply: this.#farewell });
    return { kind: 'answered', replies: answers, reusable: false };
  }

  #end(problem: Broken): void {
    if (this.#ended !== null) return;
    this.#ended = problem;
    this.#deadlines.unwatch(this);
    this.#awaiting?.resolve(err(problem));
    this.#awaiting = null;
    const listeners = this.#closeListeners;
    this.#closeListeners = [];
    for (const listener of listeners) listener();
  }
}
