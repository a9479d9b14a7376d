/**
 * Renders a notice to the sender as a message ready for the queue: multipart/report (RFC 6522) with a text for people, the
 * delivery status (RFC 3464) and the header or the whole of the original. Foreign text never reaches a header or a boundary.
 */
import { mailboxText } from '../domain/address.ts';
import type { Instant, NonEmpty } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { Envelope, QueueId } from '../domain/envelope.ts';
import type { NewMessage } from '../domain/queue.ts';
import { deliveryStatus } from './delivery-status-format.ts';
import {
  asciiField,
  chooseBoundary,
  countStuffing,
  dotStuff,
  dotUnstuff,
  headerBlock,
  headerField,
  isEightBit,
  isPlain,
  mailDate,
  quotedPrintable,
} from './mime-format.ts';
import type { Notice } from './notice-policy.ts';
import { noticeSubject, noticeText } from './notice-text-format.ts';

/** The most octets of the original that a notice carries. */
export const RETURN_LIMIT = 50_000;

/** What is at hand of the original in wire form: its first octets, and whether they are all of it. */
export type OriginalContent = { readonly wire: Uint8Array; readonly complete: boolean };

/** Everything a notice is made of. */
export type DsnFacts = {
  readonly notice: Notice;
  /** Name of the notice itself. */
  readonly queueId: QueueId;
  readonly now: Instant;
  /** Random letters and digits; the boundary is made of them. */
  readonly boundarySeed: string;
  readonly config: Pick<Config, 'hostname' | 'bounces'>;
  /** The message reported on; its reverse-path must not be null. */
  readonly original: Envelope;
  /** Null where the body could not be read: the notice does without. */
  readonly originalContent: OriginalContent | null;
};

/** One part of the report: its header fields and its octets in wire form. */
type Part = { readonly fields: string; readonly wire: Uint8Array };

const NOT_ASCII = /[^\x00-\x7f]/;

/** RFC 3464; as message/global-delivery-status (RFC 6533, section 4) where an address needs UTF-8 and the sender can read it. */
function statusPart(facts: DsnFacts): Part {
  const { original, notice, now } = facts;
  const about = { original, notice, now, hostname: facts.config.hostname };
  const status = deliveryStatus(about, headerField);
  const ascii = !NOT_ASCII.test(status);
  const global = !ascii && original.smtpUtf8;
  return {
    fields:
      headerField('Content-Type', global ? 'message/global-delivery-status' : 'message/delivery-status') +
      headerField('Content-Transfer-Encoding', global ? '8bit' : '7bit'),
    wire: Buffer.from(dotStuff(ascii || global ? status : deliveryStatus(about, asciiField))),
  };
}

function textPart(text: string): Part {
  const ascii = !NOT_ASCII.test(text);
  return {
    fields:
      headerField('Content-Type', `text/plain; charset=${ascii ? 'us-ascii' : 'utf-8'}`) +
      headerField('Content-Transfer-Encoding', ascii ? '7bit' : 'quoted-printable'),
    wire: Buffer.from(dotStuff(ascii ? text : quotedPrintable(Buffer.from(text)))),
  };
}

/** The whole original only where operator and sender agree, it is small, and it did not ask for protection (RFC 8689, section 5). */
function returnsWhole({ notice, original, originalContent, config }: DsnFacts): boolean {
  const wanted = config.bounces.return === 'full' && original.dsn.return !== 'headers' && !original.requireTls;
  const content = originalContent?.complete === true ? originalContent.wire : null;
  return wanted && notice.kind === 'failure' && content !== null && content.length <= RETURN_LIMIT;
}

function wholePart(original: Envelope, wire: Uint8Array): Part {
  return {
    fields:
      headerField('Content-Type', original.smtpUtf8 && isEightBit(wire) ? 'message/global' : 'message/rfc822') +
      headerField('Content-Transfer-Encoding', isEightBit(wire) ? '8bit' : '7bit'),
    wire,
  };
}

function headersPart(original: Envelope, content: Uint8Array): Part {
  const wire = headerBlock(content, RETURN_LIMIT);
  if (isPlain(wire)) return { fields: 'Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n', wire };
  if (original.smtpUtf8 && isPlain(wire, true))
    return { fields: 'Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n', wire };
  return {
    fields: 'Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n',
    wire: Buffer.from(dotStuff(quotedPrintable(dotUnstuff(wire)))),
  };
}

function originalPart(facts: DsnFacts): Part | null {
  const { original, originalContent } = facts;
  if (originalContent === null) return null;
  return returnsWhole(facts) ? wholePart(original, originalContent.wire) : headersPart(original, originalContent.wire);
}

function topFields(facts: DsnFacts, to: string, boundary: string): string {
  const { hostname, bounces } = facts.config;
  return (
    headerField('Date', mailDate(facts.now)) +
    headerField('From', `Mail Delivery System <${bounces.from}>`) +
    headerField('To', `<${to}>`) +
    headerField('Subject', noticeSubject(facts.notice)) +
    headerField('Message-ID', `<${facts.queueId}@${hostname}>`) +
    headerField('Auto-Submitted', 'auto-replied') +
    headerField('MIME-Version', '1.0') +
    headerField('Content-Type', `multipart/report; report-type=delivery-status; boundary="${boundary}"`)
  );
}

function assemble(facts: DsnFacts, to: string, parts: NonEmpty<Part>): Uint8Array {
  const boundary = chooseBoundary(
    facts.boundarySeed,
    parts.map((part) => part.wire),
  );
  const pieces: Uint8Array[] = [Buffer.from(dotStuff(`${topFields(facts, to, boundary)}\r\n`))];
  for (const part of parts) pieces.push(Buffer.from(`--${boundary}\r\n${part.fields}\r\n`), part.wire, Buffer.from('\r\n'));
  return Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]);
}

/**
 * The notice as a message for the queue, from the null reverse-path to the original's sender; null where that is null, too.
 * Needs 8BITMIME or SMTPUTF8 of the way back only where the original did.
 */
export function renderNotice(facts: DsnFacts): NewMessage | null {
  const { reversePath, smtpUtf8, requireTls } = facts.original;
  if (reversePath === null) return null;
  const original = originalPart(facts);
  const returned = original === null ? 'nothing' : returnsWhole(facts) ? 'message' : 'headers';
  const text = textPart(noticeText({ ...facts, hostname: facts.config.hostname }, returned));
  const status = statusPart(facts);
  const to = mailboxText(reversePath);
  const wire = assemble(facts, to, original === null ? [text, status] : [text, status, original]);
  return {
    envelope: {
      queueId: facts.queueId,
      reversePath: null,
      origin: { kind: 'notice' },
      receivedAt: facts.now,
      sizeBytes: wire.length - countStuffing(wire),
      eightBit: isEightBit(wire),
      smtpUtf8: smtpUtf8 && NOT_ASCII.test(to),
      requireTls,
      tlsRequiredNo: false,
      dsn: { return: null, envelopeId: null },
    },
    recipients: [{ mailbox: reversePath, notify: [], originalRecipient: null }],
    body: { kind: 'memory', wire },
  };
}
