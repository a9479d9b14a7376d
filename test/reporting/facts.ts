/** A default original, recipients and claim, to be changed in one thing by a test. */
import { type Domain, type Mailbox, parseMailbox } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { Envelope, QueueId, Recipient } from '../../src/domain/envelope.ts';
import type { DeliveryFailure } from '../../src/domain/outcome.ts';
import type { Claim } from '../../src/domain/queue.ts';
import type { DsnFacts } from '../../src/reporting/dsn-format.ts';

export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5) as Instant;
export const RECEIVED = Date.UTC(2026, 0, 1, 3, 4, 5) as Instant;

export function mailbox(text: string): Mailbox {
  const parsed = parseMailbox(text, true);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.error}`);
  return parsed.value;
}

export const recipient = (text = 'bob@example.net', more: Partial<Recipient> = {}): Recipient => ({
  mailbox: mailbox(text),
  notify: null,
  originalRecipient: null,
  ...more,
});

export const envelope = (more: Partial<Envelope> = {}): Envelope => ({
  queueId: '01ORIGINAL' as QueueId,
  reversePath: mailbox('alice@example.org'),
  origin: { kind: 'smtp', ip: '192.0.2.9', helo: 'client.example', listener: 'mx', tls: null, inboundConnectors: [], user: null },
  receivedAt: RECEIVED,
  sizeBytes: 100,
  eightBit: false,
  smtpUtf8: false,
  requireTls: false,
  tlsRequiredNo: false,
  dsn: { return: null, envelopeId: null },
  ...more,
});

export const failure = (more: Partial<DeliveryFailure> = {}): DeliveryFailure => ({
  permanent: true,
  enhanced: '5.1.1',
  text: 'The server mx.example.net refused the recipient.',
  reply: { code: 550, enhanced: '5.1.1', text: 'No such user here' },
  mx: 'mx.example.net',
  ip: '192.0.2.1',
  ...more,
});

export const ORIGINAL = Buffer.from(
  'Received: from a by b\r\nSubject: Hello\r\nFrom: alice@example.org\r\n\r\nThe body.\r\n..dot\r\n',
);

export const facts = (more: Partial<DsnFacts> = {}): DsnFacts => ({
  notice: { kind: 'failure', recipients: [{ recipient: recipient(), failure: failure(), attempts: 1, expired: false }] },
  queueId: '02NOTICE' as QueueId,
  now: NOW,
  boundarySeed: 'k3jf9dk2mf8s0aQZ',
  config: { hostname: 'relay.example.org' as Domain, bounces: { from: 'MAILER-DAEMON@example.org', return: 'headers' } },
  original: envelope(),
  originalContent: { wire: ORIGINAL, complete: true },
  ...more,
});

export const claim = (more: Partial<Claim> = {}): Claim => ({
  queueId: '01ORIGINAL' as QueueId,
  domain: 'example.net' as Domain,
  fence: 1,
  leaseUntil: NOW,
  envelope: envelope(),
  recipients: [{ number: 0, recipient: recipient(), attempts: 3, delayNoticeSent: false }],
  body: { kind: 'memory', wire: ORIGINAL },
  ...more,
});
