/**
 * One SMTP connection of a receiver: a plain, well-behaved server (RFC 5321) that asks the behaviour at every step whether to do
 * something else. Reads one command at a time; ends when the peer leaves or the behaviour says so.
 */
import { type Answer, type Behaviour, type Step, say, sayAndClose } from './behaviour.ts';
import { answerStartTls, type HandshakeSetting, type Secured, secure } from './handshake.ts';
import type { Seen, TlsSeen } from './journal.ts';
import { messageReader, type ReadMessage } from './message-reader.ts';
import { looksLikeTls } from './tls-hello.ts';
import { decideMail, decideMessage, decideRcpt } from './transaction-policy.ts';
import type { Voice } from './voice.ts';
import type { Wire } from './wire.ts';

export type ConversationSetting = {
  readonly behaviour: Behaviour;
  /** How the receiver calls itself. */
  readonly hostname: string;
  readonly keepOctets: number;
  readonly handshake: Pick<HandshakeSetting, 'context' | 'largeHelloOctets'>;
  readonly voice: Voice;
  readonly record: (seen: Seen) => void;
  readonly deliver: (
    message: ReadMessage & { from: string; recipients: readonly string[]; tls: TlsSeen | null; accepted: boolean },
  ) => void;
  /** Told of everything that came in the clear. */
  readonly clear: (octets: Buffer) => void;
};

type Transaction = { readonly from: string; readonly recipients: string[] };
type Handler = (argument: string) => Promise<boolean>;

const accepts = (answer: Answer): boolean => answer.kind === 'say' && answer.text.startsWith('2');

/** Holds one connection's state while it lasts. */
export class Conversation {
  readonly #setting: ConversationSetting;
  #wire: Wire;
  #tls: TlsSeen | null = null;
  #greeted = false;
  #transaction: Transaction | null = null;
  #transactions = 0;
  #clearOctets = 0;
  #clearMessageOctets = 0;

  /** A conversation about to begin on a fresh connection. */
  constructor(wire: Wire, setting: ConversationSetting) {
    this.#wire = wire;
    this.#setting = setting;
  }

  /** Speaks until it is over; leaves closing the socket to the caller. */
  async run(): Promise<void> {
    if (await this.#open()) {
      for (let line = await this.#line(); line !== null; line = await this.#line()) {
        if (!(await this.#command(line))) break;
      }
    }
    this.#wire.socket.end();
    while ((await this.#chunk()) !== null);
    this.#record({ event: 'close', clearOctets: this.#clearOctets, clearMessageOctets: this.#clearMessageOctets });
  }

  async #open(): Promise<boolean> {
    if (this.#setting.behaviour.tls.start === 'implicit' && !(await this.#enter(secure))) return false;
    return this.#answer('greeting', '', say(`220 ${this.#setting.hostname} ESMTP lab`));
  }

  async #command(line: string): Promise<boolean> {
    const [, verb = '', argument = ''] = /^(\S*)\s*(.*)$/s.exec(line) ?? [];
    if (this.#wire.waiting() > 0 && !this.#offers('PIPELINING')) {
      this.#record({ event: 'pipelined', octets: this.#wire.waiting() });
      return this.#perform(sayAndClose('503 5.5.0 improper use of SMTP command pipelining'));
    }
    const handler = this.#handlers[verb.toUpperCase()];
    if (handler !== undefined) return handler(argument);
    this.#record({ event: 'unknown', line: line.slice(0, 200) });
    return this.#answer('unknown', line, say('500 5.5.2 command not recognized'));
  }

  readonly #handlers: Readonly<Record<string, Handler>> = {
    EHLO: (name) => this.#hello('EHLO', name),
    HELO: (name) => this.#hello('HELO', name),
    STARTTLS: (argument) => this.#startTls(argument),
    MAIL: (argument) => this.#mail(argument),
    RCPT: (argument) => this.#rcpt(argument),
    DATA: (argument) => this.#data(argument),
    RSET: async (argument) => {
      this.#record({ event: 'rset', secure: this.#tls !== null });
      this.#transaction = null;
      return this.#answer('rset', argument, say('250 2.0.0 ok'));
    },
    NOOP: (argument) => this.#answer('noop', argument, say('250 2.0.0 ok')),
    QUIT: async (argument) => {
      this.#record({ event: 'quit', secure: this.#tls !== null });
      return this.#answer('quit', argument, sayAndClose('221 2.0.0 bye'));
    },
  };

  async #hello(verb: 'EHLO' | 'HELO', name: string): Promise<boolean> {
    this.#record({ event: 'ehlo', verb, name, secure: this.#tls !== null });
    this.#transaction = null;
    const { behaviour, hostname } = this.#setting;
    const startTls = behaviour.tls.start === 'starttls' && this.#tls === null ? ['STARTTLS'] : [];
    const lines = verb === 'HELO' ? [hostname] : [hostname, ...startTls, ...behaviour.keywords];
    const text = lines.map((line, index) => `250${index === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n');
    this.#greeted = true;
    return this.#answer(verb === 'EHLO' ? 'ehlo' : 'helo', name, say(text));
  }

  async #startTls(argument: string): Promise<boolean> {
    this.#record({ event: 'starttls' });
    if (this.#tls !== null) return this.#perform(say('503 5.5.1 TLS is up already'));
    if (this.#setting.behaviour.tls.start !== 'starttls') return this.#perform(say('502 5.5.1 command not implemented'));
    if (argument !== '') return this.#perform(say('501 5.5.4 no parameters allowed'));
    const own = this.#ownAnswer('starttls', argument);
    return own === null ? this.#enter(answerStartTls) : this.#perform(own);
  }

  async #enter(how: (wire: Wire, setting: HandshakeSetting) => Promise<Secured | null>): Promise<boolean> {
    const secured = await how(this.#wire, {
      ...this.#setting.handshake,
      conduct: this.#setting.behaviour.tls.handshake,
      clientCertificate: this.#setting.behaviour.tls.clientCertificate,
      record: this.#setting.record,
      clear: (octets) => this.#noteClear(octets, true),
    });
    if (secured === null) return false;
    this.#wire = secured.wire;
    this.#tls = secured.tls;
    this.#greeted = false;
    this.#transaction = null;
    return true;
  }

  async #mail(argument: string): Promise<boolean> {
    this.#record({ event: 'mail', argument, secure: this.#tls !== null });
    if (!this.#greeted || this.#transaction !== null) return this.#perform(say('503 5.5.1 bad sequence of commands'));
    this.#transactions += 1;
    const answer = this.#ownAnswer('mail', argument) ?? say(decideMail(argument, this.#setting.behaviour.keywords));
    if (accepts(answer)) this.#transaction = { from: argument.replace(/^from:\s*/i, ''), recipients: [] };
    return this.#perform(answer);
  }

  async #rcpt(argument: string): Promise<boolean> {
    this.#record({ event: 'rcpt', argument, secure: this.#tls !== null });
    if (this.#transaction === null) return this.#perform(say('503 5.5.1 bad sequence of commands'));
    const answer = this.#ownAnswer('rcpt', argument) ?? say(decideRcpt(argument, this.#setting.behaviour.keywords));
    if (accepts(answer)) this.#transaction.recipients.push(argument.replace(/^to:\s*/i, ''));
    return this.#perform(answer);
  }

  async #data(argument: string): Promise<boolean> {
    this.#record({ event: 'data', secure: this.#tls !== null });
    const transaction = this.#transaction;
    if (transaction === null) return this.#perform(say('503 5.5.1 bad sequence of commands'));
    const own = this.#ownAnswer('data', argument);
    if (own !== null) return this.#perform(own);
    if (transaction.recipients.length === 0) return this.#perform(say('554 5.5.1 no valid recipients'));
    if (!(await this.#perform(say('354 end with <CRLF>.<CRLF>')))) return false;
    const message = await this.#message();
    return message !== null && this.#settle(transaction, message);
  }

  async #message(): Promise<ReadMessage | null> {
    const reader = messageReader(this.#setting.keepOctets);
    for (;;) {
      const octets = await this.#wire.chunk();
      if (octets === null) return null;
      const message = reader.push(octets);
      this.#noteClear(octets.subarray(0, octets.length - (message?.rest.length ?? 0)), true);
      if (this.#setting.behaviour.dropsData) return null;
      if (message === null) continue;
      if (message.rest.length > 0) this.#wire.unread(message.rest);
      return message;
    }
  }

  async #settle({ from, recipients }: Transaction, message: ReadMessage): Promise<boolean> {
    this.#transaction = null;
    const own = this.#ownAnswer('message', '', message.size);
    const answer = own ?? say(decideMessage(message, this.#setting.behaviour.keywords));
    const { sha256, size, receivedHeaders } = message;
    const accepted = accepts(answer);
    this.#record({ event: 'message', secure: this.#tls !== null, from, recipients, sha256, size, receivedHeaders, accepted });
    this.#setting.deliver({ ...message, from, recipients, tls: this.#tls, accepted });
    return this.#perform(answer);
  }

  #answer(step: Step, argument: string, usual: Answer): Promise<boolean> {
    return this.#perform(this.#ownAnswer(step, argument) ?? usual);
  }

  #ownAnswer(step: Step, argument: string, size = 0): Answer | null {
    const facts = { argument, secure: this.#tls !== null, transactions: this.#transactions, size };
    return this.#setting.behaviour.answers[step]?.(facts) ?? null;
  }

  /** Carries an answer out; true where the conversation goes on. */
  async #perform(answer: Answer): Promise<boolean> {
    switch (answer.kind) {
      case 'say':
        return (await this.#setting.voice.say(this.#wire, answer.text)) && !answer.thenClose;
      case 'flood':
        await this.#setting.voice.flood(this.#wire, answer.text);
        return false;
      case 'close':
        return false;
      case 'reset':
        this.#wire.socket.resetAndDestroy();
        return false;
      case 'stall':
        while ((await this.#chunk()) !== null);
        return false;
    }
  }

  async #line(): Promise<string | null> {
    const line = await this.#wire.line();
    if (line !== null) this.#noteClear(Buffer.from(`${line}\r\n`), /^(mail|rcpt)\b/i.test(line));
    return line;
  }

  async #chunk(): Promise<Buffer | null> {
    const octets = await this.#wire.chunk();
    // After a failed handshake records of TLS may still come; they are no clear text.
    if (octets !== null && !looksLikeTls(octets)) this.#noteClear(octets, false);
    return octets;
  }

  #noteClear(octets: Buffer, ofMessage: boolean): void {
    if (this.#tls !== null) return;
    this.#clearOctets += octets.length;
    if (ofMessage) this.#clearMessageOctets += octets.length;
    this.#setting.clear(octets);
  }

  #offers(keyword: string): boolean {
    return this.#setting.behaviour.keywords.includes(keyword);
  }

  #record(seen: Seen): void {
    this.#setting.record(seen);
  }
}
