/**
 * One attempt against each receiver of the lab: which rung it ends on, what becomes of the recipient, what went over the wire in
 * the clear. The happy default with one thing changed: the receiver, or the connector's mode.
 */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import type { OutboundConnector } from '../../src/domain/connector.ts';
import type { Envelope } from '../../src/domain/envelope.ts';
import type { Rung, TlsMode, TlsRung } from '../../src/domain/tls.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';
import { BODY, claim, outcomeOf, world } from '../support/delivery-lab.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { type Receiver, type ReceiverOptions, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const connector = (mode: TlsMode, change: Partial<OutboundConnector> = {}): OutboundConnector =>
  outboundConnector({ tls: outboundTls({ mode }), ...change });

type Row = readonly [
  behaviour: BehaviourName,
  opportunistic: { rung: Rung | null; outcome: string },
  encrypt: { rung: Rung | null; outcome: string },
  change?: ReceiverOptions,
];
const tls = (rung: TlsRung): { rung: Rung; outcome: string } => ({ rung, outcome: 'delivered' });
const CLEAR = { rung: 'plaintext', outcome: 'delivered' } as const;
const WAITS = { rung: null, outcome: 'deferred 4.4.317' } as const;

const LADDER: readonly Row[] = [
  ['tls13', tls('modern'), tls('modern')],
  ['tls12-only', tls('modern'), tls('modern')],
  ['self-signed', tls('modern'), tls('modern')],
  ['expired-certificate', tls('modern'), tls('modern')],
  ['wrong-name', tls('modern'), tls('modern')],
  ['ecdhe-cbc-only', tls('compatible'), tls('compatible')],
  ['large-hello-intolerant', tls('compatible'), tls('compatible')],
  ['rsa-kx-only', tls('legacy'), tls('legacy')],
  ['sha1-mac-only', tls('legacy'), tls('legacy')],
  ['tls10-only', CLEAR, WAITS],
  ['starttls-absent', CLEAR, WAITS],
  ['starttls-454', CLEAR, WAITS],
  ['starttls-502', CLEAR, WAITS],
  ['garbage-after-220', CLEAR, WAITS],
  ['close-after-220', CLEAR, WAITS],
  ['reset-after-220', CLEAR, WAITS],
  ['handshake-alert', CLEAR, WAITS],
  ['handshake-stall', CLEAR, WAITS],
  ['starttls-injection', CLEAR, WAITS],
  ['tls-ehlo-drop', CLEAR, WAITS],
];

for (const mode of ['opportunistic', 'encrypt'] as const) {
  describe(`${mode}: the ladder`, () => {
    for (const [behaviour, opportunistic, encrypt, change] of LADDER) {
      const expected = mode === 'encrypt' ? encrypt : opportunistic;
      test(`${behaviour}: ${expected.outcome}${expected.rung === null ? '' : ` on ${expected.rung}`}`, async () => {
        const receiver = await startReceiver(behaviour, change);
        const { deliver, close } = world();
        try {
          const result = await deliver(claim(), { connector: connector(mode), receivers: [receiver] });
          assert.equal(outcomeOf(result), expected.outcome, JSON.stringify([...result.report.outcomes.values()]));
          assert.equal(result.report.path.rung, expected.rung);
          assert.equal(result.report.path.tls === null, expected.rung === null || expected.rung === 'plaintext');
          if (mode === 'encrypt') assert.doesNotMatch(receiver.clearText(), /MAIL|RCPT|DATA|SECRET/);
          if (expected.outcome === 'delivered')
            assert.equal(receiver.messages()[0]?.content.toString(), BODY.replace('..dot', '.dot'));
          else assert.equal(receiver.seenMessages().length, 0);
        } finally {
          close();
          await receiver.stop();
        }
      });
    }
  });
}

describe('what the report says of TLS is what was on the wire', () => {
  for (const behaviour of ['tls13', 'tls12-only', 'ecdhe-cbc-only', 'rsa-kx-only'] as const) {
    test(behaviour, async () => {
      const receiver = await startReceiver(behaviour);
      const { deliver, close } = world();
      const { report } = await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] });
      const seen = receiver.messages()[0]?.tls;
      assert.ok(seen !== null && seen !== undefined && report.path.tls !== null);
      assert.equal(report.path.tls.version, seen.version);
      assert.equal(report.path.tls.cipher, seen.cipher);
      assert.equal(report.path.tls.group?.toLowerCase() ?? null, seen.group?.toLowerCase() ?? null);
      close();
      await receiver.stop();
    });
  }
});

describe('replies', () => {
  const rows: readonly (readonly [behaviour: BehaviourName, outcome: string])[] = [
    ['greeting-554', 'deferred 4.3.2'],
    ['greeting-421', 'deferred 4.3.2'],
    ['null-greeting-close', 'deferred 4.4.2'],
    ['connection-refused', 'deferred 4.4.1'],
    ['mail-451', 'deferred 4.*'],
    ['mail-550', 'failed 5.*'],
    ['rcpt-550', 'failed 5.*'],
    ['data-451', 'deferred 4.*'],
    ['dot-451', 'deferred 4.*'],
    ['dot-552', 'failed 5.*'],
    ['dot-drop', 'deferred 4.4.2'],
    ['data-drop', 'deferred 4.4.2'],
    ['421-after-mail', 'deferred 4.*'],
    ['no-pipelining', 'delivered'],
    ['plain-smtp', 'delivered'],
    ['slow', 'delivered'],
    ['endless-reply', 'deferred 4.4.2'],
    ['huge-reply-line', 'deferred 4.4.2'],
  ];
  for (const [behaviour, expected] of rows) {
    test(`${behaviour} -> ${expected}`, async () => {
      const receiver = await startReceiver(behaviour);
      const { deliver, close } = world();
      const result = await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] });
      assert.match(
        outcomeOf(result),
        new RegExp(`^${expected.replace(/\*/g, '\\S*')}$`),
        JSON.stringify([...result.report.outcomes.values()]),
      );
      close();
      await receiver.stop();
    });
  }
});

describe('a transaction', () => {
  let receiver: Receiver;
  let relay: ReturnType<typeof world>;
  before(async () => {
    receiver = await startReceiver('rcpt-mixed');
    relay = world();
  });
  after(async () => {
    relay.close();
    await receiver.stop();
  });
  test('settles each recipient by its own reply', async () => {
    const result = await relay.deliver(claim({}, ['good', 'bad', 'later']), {
      connector: connector('opportunistic'),
      receivers: [receiver],
    });
    assert.equal(outcomeOf(result, 0), 'delivered');
    assert.match(outcomeOf(result, 1), /^failed 5/);
    assert.match(outcomeOf(result, 2), /^deferred 4/);
    assert.equal(receiver.messages().length, 1, 'those that had their answer are not sent again');
  });
});

describe('what a peer cannot carry bounces', () => {
  const rows: readonly (readonly [behaviour: BehaviourName, change: Partial<Envelope>, recipient: string, outcome: string])[] = [
    ['no-8bitmime', { eightBit: true }, 'user', 'failed 5.6.3'],
    ['no-8bitmime', {}, 'user', 'delivered'],
    ['no-smtputf8', { smtpUtf8: true }, 'Grüße', 'failed 5.6.7'],
    ['no-smtputf8', { smtpUtf8: true }, 'user', 'delivered'],
    ['size-small', { sizeBytes: 5000 }, 'user', 'failed 5.3.4'],
  ];
  for (const [behaviour, change, recipient, expected] of rows) {
    test(`${behaviour}, ${JSON.stringify(change)}, ${recipient} -> ${expected}`, async () => {
      const receiver = await startReceiver(behaviour);
      const { deliver, close } = world();
      const result = await deliver(claim(change, [recipient]), { connector: connector('opportunistic'), receivers: [receiver] });
      assert.equal(outcomeOf(result), expected);
      if (expected !== 'delivered') assert.equal(receiver.seenMessages().length, 0);
      close();
      await receiver.stop();
    });
  }
});

describe('connections', () => {
  test('a kept connection carries the next message', async () => {
    const receiver = await startReceiver('tls13');
    const { deliver, close } = world();
    for (let i = 0; i < 3; i += 1)
      assert.equal(
        outcomeOf(await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] })),
        'delivered',
      );
    assert.equal(receiver.eventsOf('connection').length, 1);
    close();
    await receiver.stop();
  });
  test('a kept connection never carries a message of another policy', async () => {
    const receiver = await startReceiver('tls13');
    const { deliver, close } = world();
    await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] });
    await deliver(claim(), { connector: connector('encrypt'), receivers: [receiver] });
    assert.equal(receiver.eventsOf('connection').length, 2);
    close();
    await receiver.stop();
  });
  test('after a refused message the session is reset before the next', async () => {
    const receiver = await startReceiver('mail-550');
    const { deliver, close } = world();
    for (let i = 0; i < 2; i += 1) {
      assert.match(
        outcomeOf(await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] })),
        /^failed/,
      );
      await receiver.waitForEvent('rset', i + 1);
    }
    close();
    await receiver.stop();
  });
  test('a peer that takes one message a connection gets a new one for the next', async () => {
    const receiver = await startReceiver('421-second-message');
    const { deliver, close } = world();
    for (let i = 0; i < 2; i += 1)
      assert.equal(
        outcomeOf(await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] })),
        'delivered',
      );
    assert.equal(receiver.messages().length, 2);
    close();
    await receiver.stop();
  });
  test('messagesPerConnection ends a connection', async () => {
    const receiver = await startReceiver('tls13');
    const { deliver, close } = world();
    const limited = connector('opportunistic', { limits: { ...connector('opportunistic').limits, messagesPerConnection: 2 } });
    for (let i = 0; i < 5; i += 1) await deliver(claim(), { connector: limited, receivers: [receiver] });
    assert.equal(receiver.eventsOf('connection').length, 3);
    close();
    await receiver.stop();
  });
  test('a message with more recipients than the peer should get goes in several', async () => {
    const receiver = await startReceiver('tls13');
    const { deliver, close } = world();
    const limited = connector('opportunistic', { limits: { ...connector('opportunistic').limits, recipientsPerMessage: 2 } });
    const result = await deliver(claim({}, ['a', 'b', 'c', 'd', 'e']), { connector: limited, receivers: [receiver] });
    assert.deepEqual(
      [...result.report.outcomes.values()].map(({ kind }) => kind),
      Array(5).fill('delivered'),
    );
    assert.deepEqual(
      receiver.messages().map(({ recipients }) => recipients.length),
      [2, 2, 1],
    );
    close();
    await receiver.stop();
  });
});

describe('hosts', () => {
  test('the next one where the first does not answer', async () => {
    const [dead, alive] = [await startReceiver('connection-refused'), await startReceiver('tls13')];
    const { deliver, close } = world();
    const result = await deliver(claim(), { connector: connector('opportunistic'), receivers: [dead, alive] });
    assert.equal(outcomeOf(result), 'delivered');
    assert.equal(result.report.path.mx, alive.hostname);
    close();
    await Promise.all([dead.stop(), alive.stop()]);
  });
  test('not the next one where the message may have arrived', async () => {
    const [first, second] = [await startReceiver('dot-drop'), await startReceiver('tls13')];
    const { deliver, close } = world();
    const result = await deliver(claim(), { connector: connector('opportunistic'), receivers: [first, second] });
    assert.equal(outcomeOf(result), 'deferred 4.4.2');
    assert.equal(second.events.length, 0);
    close();
    await Promise.all([first.stop(), second.stop()]);
  });
});

describe('the memory of rungs', () => {
  test('the rung that worked is where the next connection begins', async () => {
    const receiver = await startReceiver('rsa-kx-only');
    const { deliver, close, pool, fallbacks, remembered } = world();
    await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] });
    assert.deepEqual(
      fallbacks.map(({ from, to }) => [from, to]),
      [
        ['modern', 'compatible'],
        ['compatible', 'legacy'],
      ],
    );
    assert.equal([...remembered.values()][0]?.rung, 'legacy');
    pool.close();
    const before = receiver.eventsOf('connection').length;
    await deliver(claim(), { connector: connector('opportunistic'), receivers: [receiver] });
    assert.equal(receiver.eventsOf('connection').length, before + 1);
    close();
    await receiver.stop();
  });
});
