/**
 * The server's half of an SMTP session without any socket: command lines in, replies and what to do next out.
 * RFC 5321, 1869, 2034, 3207. Counts what a client gets wrong; knows no time.
 */
import { isUtf8 } from 'node:buffer';
import { mailboxText, reversePathText } from '../domain/address.ts';
import type { Config, ListenerConfig } from '../domain/config.ts';
import type { Recipient } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { TlsFacts } from '../domain/tls.ts';
import type { InboundContext, PeerFields } from './context.ts';
import { connectorsAtPeer, matchConnectors, type PeerConnector } from './inbound-connector-policy.ts';
import type { MessageSource } from './receive.ts';
import { namedRecipient, recipientRefusal, type SessionTerms, senderRefusal } from './refusals.ts';
import { REPLIES, replyLine, replyLines } from './reply-table.ts';
import { parseMail, parseRecipient } from './smtp-parameters-format.ts';
import { Transaction } from './transaction.ts';

/** What to do after a command: always send `text` first. */
export type Step =
  | { readonly kind: 'reply'; readonly text: string }
  | { readonly kind: 'close'; readonly text: string; readonly reason: SmtpReply }
  | { readonly kind: 'quit'; readonly text: string }
  | { readonly kind: 'start-tls'; readonly text: string }
  | { readonly kind: 'read-message'; readonly text: string; readonly source: MessageSource };

/** Who is at the other end, and what we were told to offer. */
export type DialogueFacts = { readonly ip: string; readonly listener: ListenerConfig; readonly tls: TlsFacts | null };

type Helo = { readonly name: string; readonly extended: boolean };

/** Printable ASCII, which is nearly every line. */
const PRINTABLE = /^[\x20-\x7e]*$/;
/** Controls, and what no one sees: never in a command. */
const FORBIDDEN = /[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/;
/** Domain, address literal or whatever clients say instead; bounded, and nothing that would need quoting in a log. */
const HELO_ARGUMENT = /^[\x21-\x7e]{1,255}$/;
const HTTP_VERBS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'PATCH']);
/** RCPT commands beyond the limit that are borne with (RFC 5321, section 4.5.3.1.10: clients may try). */
const OVERSHOOT = 1000;

/** One session's dialogue. */
export class Dialogue {
  readonly #context: InboundContext;
  readonly #config: Config;
  readonly #listener: ListenerConfig;
  readonly #ip: string;
  readonly #connectors: readonly PeerConnector[];
  #tls: TlsFacts | null;
  #helo: Helo | null = null;
  #transaction: Transaction | null = null;
  #errors = 0;
  #junk = 0;
  #overshoot = 0;

  constructor(facts: DialogueFacts, context: InboundContext) {
    this.#context = context;
    this.#config = context.config();
    this.#listener = facts.listener;
    this.#ip = facts.ip;
    this.#tls = facts.tls;
    this.#connectors = connectorsAtPeer(this.#config.inbound, facts.ip);
  }

  /** The greeting (RFC 5321, section 4.2). */
  greeting(): string {
    return `220 ${this.#config.hostname} ESMTP Postern\r\n`;
  }

  /** What log lines tell of this peer. */
  get peer(): PeerFields {
    return { listener: this.#listener.name, ip: this.#ip, helo: this.#helo?.name ?? null, tls: this.#tls };
  }

  /** A handshake was completed: everything learned before it is forgotten (RFC 3207, section 4.2). */
  secured(tls: TlsFacts): void {
    this.#tls = tls;
    this.#helo = null;
    this.#transaction = null;
  }

  /** A command line without its end. */
  command(line: Buffer): Step {
    let text = line.toString('latin1');
    if (!PRINTABLE.test(text)) {
      text = isUtf8(line) ? line.toString('utf8') : '\x00';
      if (FORBIDDEN.test(text)) return this.#answer(REPLIES.badCharacters);
    }
    const space = text.indexOf(' ');
    const verb = (space < 0 ? text : text.slice(0, space)).toUpperCase();
    return this.#dispatch(verb, space < 0 ? '' : text.slice(space + 1).trim());
  }

  /** A line that cannot be taken as a command at all. */
  malformed(reply: SmtpReply): Step {
    return this.#answer(reply);
  }

  /** The message begun by `read-message` has its reply. */
  messageDone(reply: SmtpReply): Step {
    this.#transaction = null;
    if (reply.code < 400) {
      this.#errors = 0;
      this.#junk = 0;
    }
    return this.#answer(reply);
  }

  #dispatch(verb: string, rest: string): Step {
    switch (verb) {
      case 'MAIL':
        return this.#mail(rest);
      case 'RCPT':
        return this.#recipient(rest);
      case 'DATA':
        return this.#data(rest);
      case 'EHLO':
      case 'HELO':
        return this.#hello(rest, verb === 'EHLO');
      case 'RSET':
        this.#transaction = null;
        return this.#junkCommand(rest === '' ? REPLIES.ok : REPLIES.noParameters);
      case 'NOOP':
        return this.#junkCommand(REPLIES.ok);
      case 'HELP':
        return this.#junkCommand(REPLIES.help);
      case 'VRFY':
        return this.#junkCommand(rest === '' ? REPLIES.noParameters : REPLIES.verify);
      case 'QUIT':
        return rest === '' ? { kind: 'quit', text: replyLine(REPLIES.bye) } : this.#answer(REPLIES.noParameters);
      case 'STARTTLS':
        return this.#startTls(rest);
      case 'EXPN':
      case 'AUTH':
      case 'BDAT':
      case 'ETRN':
      case 'TURN':
        return this.#answer(REPLIES.notImplemented);
      default:
        return HTTP_VERBS.has(verb) ? this.#end(REPLIES.httpRequest) : this.#answer(REPLIES.unknownCommand);
    }
  }

  #hello(argument: string, extended: boolean): Step {
    if (!HELO_ARGUMENT.test(argument)) return this.#answer(REPLIES.heloSyntax);
    this.#helo = { name: argument, extended };
    this.#transaction = null;
    this.#junk += 1;
    if (this.#junk > this.#context.patience.junkCommands) return this.#end(REPLIES.tooManyCommands);
    if (!extended) return { kind: 'reply', text: replyLines(250, [this.#config.hostname]) };
    const keywords = [
      'PIPELINING',
      `SIZE ${this.#config.limits.messageSizeBytes}`,
      '8BITMIME',
      'SMTPUTF8',
      'ENHANCEDSTATUSCODES',
      'DSN',
    ];
    const offersTls = this.#tls === null && this.#listener.tls === 'starttls';
    return { kind: 'reply', text: replyLines(250, [this.#config.hostname, ...(offersTls ? ['STARTTLS'] : []), ...keywords]) };
  }

  #startTls(rest: string): Step {
    if (this.#tls !== null) return this.#answer(REPLIES.tlsActive);
    if (this.#listener.tls !== 'starttls') return this.#answer(REPLIES.notImplemented);
    if (rest !== '') return this.#answer(REPLIES.noParameters);
    return { kind: 'start-tls', text: replyLine(REPLIES.startTls) };
  }

  #mail(rest: string): Step {
    if (this.#helo === null) return this.#answer(REPLIES.heloFirst);
    if (this.#transaction !== null) return this.#answer(REPLIES.nestedMail);
    const mail = parseMail(rest);
    if (!mail.ok) return this.#answer(mail.error);
    const transaction = new Transaction(mail.value, matchConnectors(this.#connectors, mail.value.reversePath));
    const refusal = senderRefusal(this.#terms(), transaction, mail.value.declaredSize);
    if (refusal !== null) return this.#reject('mail', transaction, refusal);
    this.#transaction = transaction;
    return this.#answer(REPLIES.senderOk);
  }

  #terms(): SessionTerms {
    return { ip: this.#ip, tls: this.#tls !== null, listener: this.#listener, config: this.#config, context: this.#context };
  }

  #recipient(rest: string): Step {
    const transaction = this.#transaction;
    if (transaction === null) return this.#answer(this.#helo === null ? REPLIES.heloFirst : REPLIES.mailFirst);
    const command = parseRecipient(rest, transaction.smtpUtf8);
    const recipient = command.ok ? namedRecipient(this.#config, command.value) : null;
    const refusal = command.ok ? recipientRefusal(this.#config, transaction, recipient) : command.error;
    if (refusal !== null) {
      transaction.refusedRecipients += 1;
      if (refusal === REPLIES.tooManyRecipients) return this.#tooMany();
      return this.#reject('rcpt', transaction, refusal, recipient);
    }
    if (recipient !== null) transaction.add(recipient);
    return this.#answer(REPLIES.recipientOk);
  }

  #tooMany(): Step {
    this.#overshoot += 1;
    return this.#overshoot > OVERSHOOT ? this.#end(REPLIES.tooManyErrors) : this.#answer(REPLIES.tooManyRecipients);
  }

  #data(rest: string): Step {
    const transaction = this.#transaction;
    if (this.#helo === null) return this.#answer(REPLIES.heloFirst);
    if (transaction === null) return this.#answer(REPLIES.mailFirst);
    if (rest !== '') return this.#answer(REPLIES.noParameters);
    if (transaction.recipients.length === 0) {
      return this.#answer(transaction.refusedRecipients > 0 ? REPLIES.noValidRecipients : REPLIES.recipientFirst);
    }
    return { kind: 'read-message', text: replyLine(REPLIES.sendData), source: this.#source(transaction, this.#helo) };
  }

  #source(transaction: Transaction, helo: Helo): MessageSource {
    return {
      transaction,
      peer: this.peer,
      origin: {
        kind: 'smtp',
        ip: this.#ip,
        helo: helo.name,
        listener: this.#listener.name,
        tls: this.#tls,
        inboundConnectors: transaction.connectors.map((matched) => matched.connector.name),
        user: null,
      },
      extended: helo.extended,
      config: this.#config,
    };
  }

  #reject(command: 'mail' | 'rcpt', transaction: Transaction, reply: SmtpReply, recipient: Recipient | null = null): Step {
    this.#context.log.messageRejected({
      ...this.peer,
      command,
      from: reversePathText(transaction.reversePath),
      to: recipient === null ? [] : [mailboxText(recipient.mailbox)],
      connectors: transaction.connectors.map((matched) => matched.connector.name),
      reply,
    });
    return this.#answer(reply);
  }

  #junkCommand(reply: SmtpReply): Step {
    this.#junk += 1;
    return this.#junk > this.#context.patience.junkCommands ? this.#end(REPLIES.tooManyCommands) : this.#answer(reply);
  }

  #answer(reply: SmtpReply): Step {
    if (reply.code >= 500) {
      this.#errors += 1;
      if (this.#errors >= this.#context.patience.errors) {
        return { kind: 'close', text: replyLine(reply) + replyLine(REPLIES.tooManyErrors), reason: REPLIES.tooManyErrors };
      }
    }
    return { kind: 'reply', text: replyLine(reply) };
  }

  #end(reason: SmtpReply): Step {
    return { kind: 'close', text: replyLine(reason), reason };
  }
}
