/**
 * Takes one message after DATA: octets in, the reply to the final dot out. 250 only once the spool has it on disk.
 * A message that will be refused is read to its true end all the same, so that nothing of it is ever taken for a command.
 */
import { mailboxText, reversePathText } from '../domain/address.ts';
import { isNonEmpty } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { Envelope, Origin, QueueId, Recipients } from '../domain/envelope.ts';
import type { SmtpReply } from '../domain/outcome.ts';
import type { Body, NewMessage } from '../domain/queue.ts';
import { BodySink } from './body-sink.ts';
import type { InboundContext, PeerFields } from './context.ts';
import { MessageScanner } from './message-stream.ts';
import { REPLIES, storeReply } from './reply-table.ts';
import { traceHeader } from './trace-header-format.ts';
import type { Transaction } from './transaction.ts';

/** Octets of header fields a message may have. */
const HEADER_LIMIT = 1024 * 1024;
/** Past the size limit so many more octets are read in the hope of an end; then the connection is closed. */
const OVERRUN = 1024 * 1024;
const DOT = Buffer.from('.');
const DOT_CR = Buffer.from('.\r');

/** What a message comes with: its transaction and who sent it. */
export type MessageSource = {
  readonly transaction: Transaction;
  readonly peer: PeerFields;
  readonly origin: Extract<Origin, { kind: 'smtp' }>;
  /** EHLO rather than HELO. */
  readonly extended: boolean;
  /** The session's snapshot. */
  readonly config: Config;
};

/** How the client stands with a message: more is to come, more than will be borne has come, or the end was read. */
export type Reading = 'more' | 'overrun' | 'ended';

/** The reception of one message. */
export class Reception {
  readonly #source: MessageSource;
  readonly #context: InboundContext;
  readonly #scanner = new MessageScanner(HEADER_LIMIT);
  readonly #queueId: QueueId;
  readonly #receivedAt: Envelope['receivedAt'];
  readonly #sink: BodySink;
  #keeping = true;
  #wait: Promise<void> | null = null;

  constructor(source: MessageSource, context: InboundContext) {
    this.#source = source;
    this.#context = context;
    this.#queueId = context.newQueueId();
    this.#receivedAt = context.clock.now();
    this.#sink = new BodySink(context.spool, Buffer.from(this.#trace()));
  }

  /** Octets of content read so far. */
  get bytes(): number {
    return this.#scanner.wireBytes;
  }

  /** Octets of the last chunk that belonged to the message. */
  get consumed(): number {
    return this.#scanner.consumed;
  }

  /** What must be waited for before the next `take`, null where nothing. */
  get wait(): Promise<void> | null {
    return this.#wait;
  }

  /** Takes the next octets up to the end of the message. */
  take(chunk: Buffer): Reading {
    const scanner = this.#scanner;
    scanner.scan(chunk);
    this.#wait = null;
    if (this.#keeping) this.#keep(chunk);
    if (scanner.ended) return 'ended';
    return scanner.wireBytes > 2 * this.#source.config.limits.messageSizeBytes + OVERRUN ? 'overrun' : 'more';
  }

  #keep(chunk: Buffer): void {
    const scanner = this.#scanner;
    if (scanner.defective || scanner.sizeBytes > this.#source.config.limits.messageSizeBytes) {
      this.#keeping = false;
      void this.#sink.drop();
      return;
    }
    if (scanner.released > 0) this.#wait = this.#sink.add(scanner.released === 1 ? DOT : DOT_CR);
    if (scanner.contentEnd === 0) return;
    this.#wait =
      this.#sink.add(scanner.contentEnd === chunk.length ? chunk : chunk.subarray(0, scanner.contentEnd)) ?? this.#wait;
  }

  /** The client is gone or was cut off: nothing is kept. */
  abort(): void {
    this.#keeping = false;
    void this.#sink.drop();
  }

  /** The reply to the final dot. */
  async finish(): Promise<SmtpReply> {
    const refusal = this.#refusal();
    if (refusal !== null) return this.#refuse(refusal);
    const body = await this.#sink.finish();
    if (!body.ok) return this.#refuse(storeReply(body.error));
    return this.#store(body.value);
  }

  /** What is wrong with the message itself. */
  #refusal(): SmtpReply | null {
    const { limits } = this.#source.config;
    const defects = this.#scanner.defects;
    if (defects.bareLineBreak) return REPLIES.bareLineBreak;
    if (defects.nulInHeader) return REPLIES.nulInHeader;
    if (defects.headerTooLarge) return REPLIES.headerTooLarge;
    if (defects.leadingFold) return REPLIES.leadingFold;
    if (this.#scanner.sizeBytes > limits.messageSizeBytes) return REPLIES.tooLarge;
    return this.#scanner.receivedFields > limits.hops ? REPLIES.tooManyHops : null;
  }

  #refuse(reply: SmtpReply): SmtpReply {
    const { transaction, peer } = this.#source;
    void this.#sink.drop();
    this.#context.log.messageRejected({
      ...peer,
      command: 'dot',
      from: reversePathText(transaction.reversePath),
      to: transaction.recipients.map((recipient) => mailboxText(recipient.mailbox)),
      connectors: this.#source.origin.inboundConnectors,
      reply,
    });
    return reply;
  }

  async #store(body: Body): Promise<SmtpReply> {
    const recipients = this.#source.transaction.recipients;
    if (!isNonEmpty(recipients)) throw new Error('a message without recipients reached its end');
    const claim = this.#context.mayClaim(this.#sink.bytes) ? { leaseFor: this.#context.leaseFor } : null;
    const stored = await this.#context.spool.accept(this.#message(recipients, body), claim);
    if (!stored.ok) return this.#refuse(storeReply(stored.error));
    if (stored.value.length > 0) this.#context.offer(stored.value);
    this.#tellAccepted();
    return { code: 250, enhanced: '2.0.0', text: `Ok: queued as ${this.#queueId}` };
  }

  #message(recipients: Recipients, body: Body): NewMessage {
    const { transaction, origin } = this.#source;
    const envelope: Envelope = {
      queueId: this.#queueId,
      reversePath: transaction.reversePath,
      origin,
      receivedAt: this.#receivedAt,
      sizeBytes: this.#scanner.sizeBytes,
      eightBit: this.#scanner.eightBit,
      smtpUtf8: transaction.smtpUtf8,
      requireTls: transaction.requireTls,
      // RFC 8689, section 5: the parameter outweighs the field.
      tlsRequiredNo: this.#scanner.tlsRequiredNo && !transaction.requireTls,
      dsn: { return: transaction.return, envelopeId: transaction.envelopeId },
    };
    return { envelope, recipients, body };
  }

  #tellAccepted(): void {
    const { transaction, peer, origin } = this.#source;
    this.#context.log.messageAccepted({
      ...peer,
      queueId: this.#queueId,
      from: reversePathText(transaction.reversePath),
      to: transaction.recipients.map((recipient) => mailboxText(recipient.mailbox)),
      sizeBytes: this.#scanner.sizeBytes,
      connectors: origin.inboundConnectors,
      user: origin.user,
    });
  }

  #trace(): string {
    const { transaction, origin, extended, config } = this.#source;
    return traceHeader({
      ip: origin.ip,
      helo: origin.helo,
      extended,
      tls: origin.tls,
      authenticated: origin.user !== null,
      smtpUtf8: transaction.smtpUtf8,
      hostname: config.hostname,
      queueId: this.#queueId,
      recipients: transaction.recipients,
      receivedAt: this.#receivedAt,
    });
  }
}
