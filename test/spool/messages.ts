/** Messages for spool tests: a happy default with one thing changed. */
import { strict as assert } from 'node:assert';
import { type Domain, type Mailbox, parseDomain } from '../../src/domain/address.ts';
import { type Instant, isNonEmpty } from '../../src/domain/basics.ts';
import type { NotifyOn, QueueId } from '../../src/domain/envelope.ts';
import type { DeliveryFailure } from '../../src/domain/outcome.ts';
import type { Body, Claim, NewMessage, RecipientSettlement, Settlement } from '../../src/domain/queue.ts';

/** What may differ from the default. */
export type MessageChange = {
  readonly to?: readonly string[];
  readonly from?: string | null;
  readonly notify?: readonly NotifyOn[];
  readonly originalRecipient?: string;
  readonly body?: string | Body;
  readonly receivedAt?: Instant;
};

/** When messages are received unless they say otherwise: as this process began. */
export const RECEIVED_AT = Date.now() as Instant;

export const id = (name: string): QueueId => `q-${name}` as QueueId;

export function domain(text: string): Domain {
  const parsed = parseDomain(text);
  assert.ok(parsed !== null, text);
  return parsed;
}

export function mailbox(text: string): Mailbox {
  const at = text.lastIndexOf('@');
  return { localPart: text.slice(0, at), domain: domain(text.slice(at + 1)) };
}

/** From sender@origin.test to user@one.test, a few octets long, received just now. */
export function message(name: string, change: MessageChange = {}): NewMessage {
  const { notify = null, originalRecipient = null, from = 'sender@origin.test' } = change;
  const recipients = (change.to ?? ['user@one.test']).map((to) => ({ mailbox: mailbox(to), notify, originalRecipient }));
  assert.ok(isNonEmpty(recipients));
  const given = change.body ?? 'Subject: test\r\n\r\nhello\r\n';
  const body: Body = typeof given === 'string' ? { kind: 'memory', wire: Buffer.from(given, 'latin1') } : given;
  const envelope = {
    queueId: id(name),
    reversePath: from === null ? null : mailbox(from),
    origin: { kind: 'notice' },
    receivedAt: change.receivedAt ?? RECEIVED_AT,
    sizeBytes: body.kind === 'memory' ? body.wire.length : body.wireBytes,
    eightBit: false,
    smtpUtf8: false,
    requireTls: false,
    tlsRequiredNo: false,
    dsn: { return: null, envelopeId: null },
  } as const;
  return { envelope, recipients, body };
}

export const failure: DeliveryFailure = {
  permanent: false,
  enhanced: '4.4.1',
  text: 'connection refused',
  reply: null,
  mx: 'mx.one.test',
  ip: '127.0.0.1',
};

/** One fate for all recipients of a claim. */
export type Fate = 'delivered' | 'bounced' | 'expired' | Omit<Extract<RecipientSettlement, { becomes: 'queued' }>, 'number'>;

/** The end of a claim, the same for all its recipients, without notices. */
export function settlement(claim: Claim, fate: Fate): Settlement {
  const each = (number: number): RecipientSettlement => {
    if (fate === 'delivered') return { number, becomes: fate };
    return typeof fate === 'string' ? { number, becomes: fate, failure } : { number, ...fate };
  };
  const recipients = claim.recipients.map((recipient) => each(recipient.number));
  assert.ok(isNonEmpty(recipients));
  const { queueId, domain: of, fence } = claim;
  return { queueId, domain: of, fence, connector: 'default', recipients, notices: [] };
}
