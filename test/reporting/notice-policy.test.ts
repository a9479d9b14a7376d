import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Instant } from '../../src/domain/basics.ts';
import type { Envelope, NotifyOn } from '../../src/domain/envelope.ts';
import type { DeliveryOutcome } from '../../src/domain/outcome.ts';
import type { RecipientSettlement } from '../../src/domain/queue.ts';
import { planNotices } from '../../src/reporting/notice-policy.ts';
import { claim, envelope, failure, NOW, recipient } from './facts.ts';

const DUE = (NOW + 60_000) as Instant;
const queued = (delayNoticeSent: boolean): RecipientSettlement => ({
  number: 0,
  becomes: 'queued',
  due: DUE,
  attention: DUE,
  failure: failure(),
  delayNoticeSent,
});
const BOUNCED: RecipientSettlement = { number: 0, becomes: 'bounced', failure: failure() };
const EXPIRED: RecipientSettlement = { number: 0, becomes: 'expired', failure: failure() };
const DELIVERED: RecipientSettlement = { number: 0, becomes: 'delivered' };

type Case = {
  readonly notify: readonly NotifyOn[] | null;
  readonly settled: RecipientSettlement;
  readonly envelope?: Partial<Envelope>;
  readonly alreadySent?: boolean;
  readonly peerHasDsn?: boolean;
};

function kinds({ notify, settled, alreadySent, peerHasDsn, ...more }: Case): string {
  const outcome: DeliveryOutcome = {
    kind: 'delivered',
    reply: { code: 250, enhanced: null, text: 'ok' },
    relayedDsn: peerHasDsn ?? false,
  };
  const notices = planNotices({
    claim: claim({
      envelope: envelope(more.envelope),
      recipients: [
        { number: 0, recipient: recipient('bob@example.net', { notify }), attempts: 2, delayNoticeSent: alreadySent ?? false },
      ],
    }),
    settled: [settled],
    outcomes: new Map([[0, outcome]]),
    mx: 'mx.example.net',
    ip: '192.0.2.1',
    willRetryUntil: DUE,
  });
  return notices.map(({ kind }) => kind).join() || 'none';
}

const rows: readonly [name: string, given: Case, kind: string][] = [
  ['bounced, nothing said', { notify: null, settled: BOUNCED }, 'failure'],
  ['expired, nothing said', { notify: null, settled: EXPIRED }, 'failure'],
  ['bounced, NEVER', { notify: [], settled: BOUNCED }, 'none'],
  ['bounced, DELAY', { notify: ['delay'], settled: BOUNCED }, 'none'],
  ['bounced, FAILURE', { notify: ['failure'], settled: BOUNCED }, 'failure'],
  ['bounced, null sender', { notify: ['failure'], settled: BOUNCED, envelope: { reversePath: null } }, 'none'],
  ['bounced, a notice of ours', { notify: null, settled: BOUNCED, envelope: { origin: { kind: 'notice' } } }, 'none'],
  ['young', { notify: null, settled: queued(false) }, 'none'],
  ['old for the first time', { notify: null, settled: queued(true) }, 'delay'],
  ['old, already told', { notify: null, settled: queued(true), alreadySent: true }, 'none'],
  ['old, FAILURE', { notify: ['failure'], settled: queued(true) }, 'none'],
  ['old, DELAY', { notify: ['delay', 'failure'], settled: queued(true) }, 'delay'],
  ['old, NEVER', { notify: [], settled: queued(true) }, 'none'],
  ['delivered, nothing said', { notify: null, settled: DELIVERED }, 'none'],
  ['delivered, SUCCESS, peer without DSN', { notify: ['success'], settled: DELIVERED }, 'success'],
  ['delivered, SUCCESS, peer with DSN tells itself', { notify: ['success'], settled: DELIVERED, peerHasDsn: true }, 'none'],
  ['delivered, SUCCESS, null sender', { notify: ['success'], settled: DELIVERED, envelope: { reversePath: null } }, 'none'],
];
for (const [name, given, kind] of rows) test(`${name} -> ${kind}`, () => assert.equal(kinds(given), kind));

test('one notice of each kind, however many recipients', () => {
  const recipients = [0, 1, 2, 3].map((number) => ({
    number,
    recipient: recipient(`u${number}@example.net`),
    attempts: 1,
    delayNoticeSent: false,
  }));
  const [first, ...rest] = recipients;
  assert.ok(first);
  const notices = planNotices({
    claim: claim({ recipients: [first, ...rest] }),
    settled: [BOUNCED, { ...EXPIRED, number: 1 }, { ...queued(true), number: 2 }, { ...DELIVERED, number: 3 }],
    outcomes: new Map(),
    mx: null,
    ip: null,
    willRetryUntil: DUE,
  });
  assert.deepEqual(
    notices.map((notice) => [notice.kind, notice.recipients.length]),
    [
      ['failure', 2],
      ['delay', 1],
    ],
  );
});
