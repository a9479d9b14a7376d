import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import type { AddressPrivacy } from '../../src/platform/log-privacy-format.ts';
import type { HistoryBatch } from '../../src/reporting/history.ts';
import { formsOf, keyOf, names, readEvent } from '../../src/reporting/history-line-format.ts';
import { createHistoryOutbox, type HistoryOutbox } from '../../src/reporting/history-outbox.ts';
import { testClock } from '../support/clock.ts';
import { NOW } from './facts.ts';
import { accepted, at, attempt, fate, notice, operator } from './history-events.ts';

type Fixture = { readonly outbox: HistoryOutbox; readonly batches: HistoryBatch[]; readonly clock: ReturnType<typeof testClock> };

function fixture(privacy: AddressPrivacy = 'full'): Fixture {
  const batches: HistoryBatch[] = [];
  const clock = testClock(NOW);
  const outbox = createHistoryOutbox({ clock, privacy: () => privacy, post: (batch) => void batches.push(batch) });
  return { outbox, batches, clock };
}

const lines = (batch: HistoryBatch | undefined): readonly string[] =>
  (batch?.lines ?? '').split('\n').filter((line) => line !== '');

describe('history outbox', () => {
  test('events leave together, as lines that can be read again, with their times and keys', () => {
    const { outbox, batches } = fixture();
    const events = [accepted(), attempt(), notice(), operator()];
    for (const event of events) outbox.record(event);
    outbox.refused('session');
    outbox.refused('message');
    assert.equal(batches.length, 0);
    outbox.flush();
    const [batch] = batches;
    assert.deepEqual(lines(batch).map(readEvent), events);
    assert.deepEqual([batch?.events, batch?.since, batch?.until], [4, at(0), at(3)]);
    assert.deepEqual([batch?.sessionsRefused, batch?.messagesRefused, batch?.dropped], [1, 1, 0]);
    for (const name of ['Alice@Example.ORG', 'bob@example.net', accepted().queueId, notice().noticeId])
      assert.ok(batch?.keys.includes(keyOf(name)), name);
    outbox.flush();
    assert.equal(batches.length, 1, 'nothing new, nothing sent');
  });

  test('one batch at a time: the next one leaves when the last was taken, or after ten seconds', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { outbox, batches, clock } = fixture();
    const pass = (milliseconds: number): void => {
      clock.advance(milliseconds);
      t.mock.timers.tick(milliseconds);
    };
    outbox.record(accepted());
    pass(100);
    assert.equal(batches.length, 1);
    outbox.record(accepted());
    pass(100);
    pass(100);
    assert.equal(batches.length, 1, 'the first was not taken');
    outbox.taken();
    pass(100);
    assert.equal(batches.length, 2);
    outbox.record(accepted());
    for (let n = 0; n < 101; n += 1) pass(100);
    assert.equal(batches.length, 3, 'whoever had it is gone');
  });

  test('over its bound events are dropped and counted', () => {
    const { outbox, batches } = fixture();
    const large = accepted({ to: Array.from({ length: 1000 }, (_, n) => `${'x'.repeat(60)}${n}@example.net`) });
    for (let n = 0; n < 200; n += 1) outbox.record(large);
    outbox.flush();
    const [batch] = batches;
    assert.ok((batch?.lines.length ?? 0) < 9 * 1024 * 1024);
    assert.ok((batch?.dropped ?? 0) > 0);
    assert.equal((batch?.events ?? 0) + (batch?.dropped ?? 0), 200);
  });

  for (const privacy of ['domain', 'hashed'] as const) {
    test(`log.addresses: ${privacy} hides local parts before anything is kept, and the address is still found`, () => {
      const { outbox, batches } = fixture(privacy);
      const text = 'mx said: 550 bob@example.net is unknown';
      const failed = fate({ becomes: 'bounced', text, reply: { code: 550, enhanced: '5.1.1', text: 'bob@example.net?' } });
      outbox.record(accepted());
      outbox.record(attempt({ recipients: [failed] }));
      outbox.record(notice());
      outbox.record({ kind: 'given-up', at: at(4), queueId: accepted().queueId, domain: 'example.net', to: ['bob@example.net'] });
      outbox.flush();
      const [batch] = batches;
      assert.doesNotMatch(batch?.lines ?? '', /bob@|alice@/);
      const forms = formsOf('bob@example.net');
      assert.ok(forms.some((form) => batch?.keys.includes(keyOf(form))));
      const events = lines(batch).map(readEvent);
      assert.deepEqual(
        events.map((event) => event !== null && names(event, forms)),
        [true, true, false, true],
      );
    });
  }

  test('what is no event is not taken for one', () => {
    for (const line of ['', '{', 'null', '1', '{"kind":"accepted"}']) assert.equal(readEvent(line), null);
  });
});
