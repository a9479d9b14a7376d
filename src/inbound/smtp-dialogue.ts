/**
 * The server's half of an SMTP session without any socket: command lines in, replies and what to do next out.
 * RFC 5321, 1869, 2034, 3207, 4954, 8689. Counts what a client gets wrong; knows no time.
 */
import { isUtf8 } from 'node:buffer';
import { mailboxText, reversePathText } from '../domain/address.ts';
import type { Config, ListenerConfig } from '../domain/config.ts';
import type { Recipient } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { TlsFacts } from '../domain/tls.ts';
import { type ClientCertificate, NO_CERTIFICATE } from '../security/client-certificate-policy.ts';
import { wouldBlock } from './acceptance-policy.ts';
import { Authentication, type AuthenticationStep } from './authentication.ts';
import type { InboundContext, PeerFields } from './context.ts';
import { connectorsAtPeer, matchConnectors, type PeerConnector, verifiedName } from './inbound-connector-policy.ts';
import type { MessageSource } from './receive.ts';
import { namedRecipient, recipientRefusal, type SessionTerms, senderFacts, senderRefusal } from './refusals.ts';
import { REPLIES, replyLine, replyLines } from './reply-table.ts';
import { MECHANISMS } from './sasl-format.ts';
import { parseMail, parseRecipient } from './smtp-parameters-format.ts';
import { Transaction } from './transaction.ts';

/** What to do after a command: always send `text` first. */
export type Step =
  | { readonly kind: 'reply'; readonly text: string }
  | { readonly kind: 'close'; readonly text: string; readonly reason: SmtpReply }
  | { readonly kind: 'quit'; readonly text: string }
  | { readonly kind: 'start-tls'; readonly text: string }
  /** Read nothing until it is known what to do. */
  | { readonly kind: 'wait'; readonly step: Promise<Step> }
  | { readonly kind: 'read-message'; readonly text: string; readonly source: MessageSource };

/** What a handshake gave. */
export type Secured = { readonly tls: TlsFacts; readonly certificate: ClientCertificate };

/** Who is at the other end, and what we were told to offer. `secured` null: in the clear as yet. */
export type DialogueFacts = { readonly ip: string; readonly listener: ListenerConfig; readonly secured: Secured | null };

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
  #connectors: readonly PeerConnector[] = [];
  #tls: TlsFacts | null = null;
  #certificate: ClientCertificate = NO_CERTIFICATE;
  #authentication: Authentication;
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
    this.#authentication = this.#newAuthentication();
    this.#meet(facts.secured);
  }

  #newAuthentication(): Authentication {
    const { checkPassword, peers, log, patience } = this.#context;
    return new Authentication({ checkPassword, peers, log, patience, users: this.#config.users, peer: () => this.peer });
  }

  /** What the handshake, or that there was none, says of the peer. */
  #meet(secured: Secured | null): void {
    const { inbound } = this.#config;
    this.#certificate = secured?.certificate ?? NO_CERTIFICATE;
    this.#tls = secured === null ? null : { ...secured.tls, peer: verifiedName(inbound, this.#certificate) };
    this.#connectors = connectorsAtPeer(inbound, { address: this.#ip, certificate: this.#certificate });
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
  secured(secured: Secured): void {
    this.#helo = null;
    this.#transaction = null;
    this.#authentication = this.#newAuthentication();
    this.#meet(secured);
  }

  /** A command line without its end. */
  command(line: Buffer): Step {
    let text = line.toString('latin1');
    if (this.#authentication.isWaiting) return this.#follow(this.#authentication.line(text));
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
      case 'AUTH':
        return this.#authenticate(rest);
      case 'EXPN':
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
    if (this.#tls === null && this.#listener.tls === 'starttls') keywords.unshift('STARTTLS');
    if (this.#tls !== null) keywords.push('REQUIRETLS');
    if (this.#offersAuth) keywords.push(`AUTH ${MECHANISMS}`);
    return { kind: 'reply', text: replyLines(250, [this.#config.hostname, ...keywords]) };
  }

  get #offersAuth(): boolean {
    return this.#listener.auth !== 'off' && this.#tls !== null;
  }

  #authenticate(rest: string): Step {
    if (this.#listener.auth === 'off') return this.#answer(REPLIES.notImplemented);
    if (this.#helo?.extended !== true) return this.#answer(REPLIES.heloFirst);
    if (this.#tls === null) return this.#answer(REPLIES.authNeedsTls);
    if (this.#authentication.user !== null) return this.#answer(REPLIES.authDone);
    if (this.#transaction !== null) return this.#answer(REPLIES.authInMail);
    return this.#follow(this.#authentication.begin(rest));
  }

  #follow(step: AuthenticationStep): Step {
    switch (step.kind) {
      case 'reply':
        return this.#answer(step.reply);
      case 'challenge':
        return { kind: 'reply', text: `334 ${step.text}\r\n` };
      case 'check':
        return {
          kind: 'wait',
          step: step.outcome.then(({ reply, end }) => (end ? this.#end(reply) : this.#answer(reply))),
        };
    }
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
    const mail = parseMail(rest, this.#offersAuth);
    if (!mail.ok) return this.#answer(mail.error);
    const transaction = new Transaction(mail.value, matchConnectors(this.#connectors, mail.value.reversePath));
    const refusal = senderRefusal(this.#terms(), transaction, mail.value.declaredSize);
    if (refusal !== null) return this.#reject('mail', transaction, refusal);
    this.#transaction = transaction;
    this.#tellWouldBlock(transaction);
    return this.#answer(REPLIES.senderOk);
  }

  #terms(): SessionTerms {
    return {
      ip: this.#ip,
      tls: this.#tls !== null,
      certificate: this.#certificate,
      user: this.#authentication.user,
      listener: this.#listener,
      config: this.#config,
      context: this.#context,
    };
  }

  /** What connectors in test mode would have refused is told, and taken. */
  #tellWouldBlock(transaction: Transaction): void {
    const { connectors, reversePath } = transaction;
    if (!connectors.some(({ connector }) => connector.testMode)) return;
    for (const { connector, reply } of wouldBlock(senderFacts(this.#terms(), transaction)))
      this.#context.log.policyWouldBlock({ ...this.peer, connector, from: reversePathText(reversePath), reply });
  }

  #recipient(rest: string): Step {
    const transaction = this.#transaction;
    if (transaction === null) return this.#answer(this.#helo === null ? REPLIES.heloFirst : REPLIES.mailFirst);
    const command = parseRecipient(rest, transaction.smtpUtf8);
    const recipient = command.ok ? namedRecipient(this.#config, command.value) : null;
    const refusal = command.ok ? recipientRefusal(this.#terms(), transaction, recipient) : command.error;
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
        user: this.#authentication.user?.name ?? null,
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
