import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { HistoryEvent, HistoryQuestion } from '../../src/reporting/history.ts';
import { type TracedState, traceOf } from '../../src/reporting/trace-policy.ts';
import { accepted, at, attempt, fate, ID, notice, operator } from './history-events.ts';

const COUNTS = { sessionsRefused: 0, messagesRefused: 0, dropped: 0 };
const MESSAGE: HistoryQuestion = { kind: 'message', queueId: ID, limit: 20 };
const about = (address: string): HistoryQuestion => ({ kind: 'address', forms: [address], limit: 20 });
const trace = (events: readonly HistoryEvent[], question: HistoryQuestion = MESSAGE) =>
  traceOf({ events, complete: true, since: at(0), counts: COUNTS }, question).messages;

const deferred = fate({ becomes: 'queued', text: 'busy', status: '4.2.0', next: at(60) });
const bounced = fate({ becomes: 'bounced', text: 'unknown', status: '5.1.1' });
const givenUp = { kind: 'given-up', at: at(5), queueId: ID, domain: 'example.net', to: ['bob@example.net'] } as const;

const states: readonly (readonly [name: string, events: readonly HistoryEvent[], state: TracedState, kinds: string])[] = [
  ['accepted only', [accepted()], 'waiting', 'accepted'],
  ['deferred', [attempt({ recipients: [deferred] }), accepted()], 'waiting', 'accepted attempt'],
  ['delivered', [attempt(), accepted()], 'delivered', 'accepted attempt'],
  ['bounced', [accepted(), notice(), attempt({ recipients: [bounced] })], 'returned', 'accepted attempt notice'],
  [
    'one of two delivered',
    [accepted({ to: ['bob@example.net', 'carol@example.net'] }), attempt()],
    'waiting',
    'accepted attempt',
  ],
  ['given up by an operator', [accepted(), givenUp], 'returned', 'accepted given-up'],
  ['held', [accepted(), operator()], 'waiting', 'accepted operator'],
  ['removed by id', [accepted(), operator({ action: 'remove', ids: [ID] })], 'removed', 'accepted operator'],
  ['removed by domain', [accepted(), operator({ action: 'remove', domain: 'example.net' })], 'removed', 'accepted operator'],
  ['another id removed', [accepted(), operator({ action: 'remove', ids: ['x'] })], 'waiting', 'accepted'],
  ['another domain removed', [accepted(), operator({ action: 'remove', domain: 'example.com' })], 'waiting', 'accepted'],
  ['a connector it has not met', [accepted(), operator({ connector: 'default' })], 'waiting', 'accepted'],
  ['the queue emptied before it came', [accepted(), operator({ action: 'remove', at: at(-1) })], 'waiting', 'accepted'],
  [
    'the queue emptied after it had gone',
    [accepted(), attempt(), operator({ action: 'remove' })],
    'delivered',
    'accepted attempt',
  ],
  ['acceptance lost, delivered', [attempt()], 'delivered', 'attempt'],
  ['acceptance lost, deferred', [attempt({ recipients: [deferred] })], 'unknown', 'attempt'],
];
for (const [name, events, state, kinds] of states) {
  test(`${name}: ${state}`, () => {
    const [message] = trace(events);
    assert.equal(message?.state, state);
    assert.equal(message?.events.map(({ kind }) => kind).join(' '), kinds);
  });
}

test('for a connector it was tried by, the action is told', () => {
  const [message] = trace([accepted(), attempt({ recipients: [deferred] }), operator({ connector: 'default' })]);
  assert.equal(message?.events.at(-1)?.kind, 'operator');
});

test('a recipient hears of nobody else; a sender hears everything', () => {
  const to = ['bob@example.net', 'carol@example.net'];
  const events = [accepted({ to }), attempt({ recipients: [fate(), fate({ to: 'carol@example.net', becomes: 'bounced' })] })];
  const [bobs] = trace(events, about('bob@example.net'));
  assert.equal(bobs?.state, 'delivered');
  assert.doesNotMatch(JSON.stringify(bobs), /carol/);
  const [carols] = trace(events, about('carol@example.net'));
  assert.equal(carols?.state, 'returned');
  const [alices] = trace(events, about('alice@example.org'));
  assert.match(JSON.stringify(alices), /carol.*bob|bob.*carol/);
});

test('messages come oldest first; a notice is a message of its own that begins with its making', () => {
  const { noticeId } = notice();
  const events = [
    attempt({ queueId: noticeId, at: at(9), recipients: [fate({ to: 'alice@example.org' })] }),
    notice(),
    accepted(),
    attempt({ recipients: [bounced] }),
  ];
  const messages = trace(events, about('alice@example.org'));
  assert.deepEqual(
    messages.map(({ queueId, state, events: own }) => [queueId, state, own.map(({ kind }) => kind).join(' ')]),
    [
      [ID, 'returned', 'accepted attempt notice'],
      [noticeId, 'delivered', 'notice attempt'],
    ],
  );
});
