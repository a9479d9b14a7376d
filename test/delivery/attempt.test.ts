/**
 * One attempt against each receiver of the lab: which rung it ends on, what becomes of the recipient, what went over the wire in
 * the clear. The happy default with one thing changed: the receiver, or the connector's mode.
 */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { type AttemptResult, attempt } from '../../src/delivery/attempt.ts';
import { AvoidedAddresses, type Fallback } from '../../src/delivery/walk-hosts.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { Config } from '../../src/domain/config.ts';
import type { OutboundConnector } from '../../src/domain/connector.ts';
import type { Envelope, QueueId } from '../../src/domain/envelope.ts';
import type { Claim } from '../../src/domain/queue.ts';
import type { Rung, TlsMode, TlsRung } from '../../src/domain/tls.ts';
import { ADDRESS_GIVEN } from '../../src/routing/proof-policy.ts';
import type { RememberedRung } from '../../src/security/ladder-policy.ts';
import { createTransport } from '../../src/transport/nodemailer-session.ts';
import { Pool } from '../../src/transport/pool.ts';
import type { Transport } from '../../src/transport/session.ts';
import { systemClock } from '../support/clock.ts';
import { outboundConnector, outboundTls } from '../support/connectors.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { labAuthority, type Receiver, type ReceiverOptions, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

const BODY = 'Received: from test\r\nSubject: lab\r\n\r\nSECRET-OF-THE-MESSAGE\r\n..dot\r\n';

const connector = (mode: TlsMode, change: Partial<OutboundConnector> = {}): OutboundConnector =>
  outboundConnector({ tls: outboundTls({ mode }), ...change });

function claim(change: Partial<Envelope> = {}, recipients: readonly string[] = ['user']): Claim {
  const wire = Buffer.from(BODY);
  const envelope: Envelope = {
    queueId: 'TEST' as QueueId,
    reversePath: { localPart: 'sender', domain: 'sender.test' as Domain },
    origin: { kind: 'notice' },
    receivedAt: Date.now() as Instant,
    sizeBytes: wire.length - 1,
    eightBit: false,
    smtpUtf8: false,
    requireTls: false,
    tlsRequiredNo: false,
    dsn: { return: null, envelopeId: null },
    ...change,
  };
  const claimed = recipients.map((localPart, number) => ({
    number,
    recipient: { mailbox: { localPart, domain: 'lab.test' as Domain }, notify: null, originalRecipient: null },
    attempts: 1,
    delayNoticeSent: false,
  }));
  const [first, ...rest] = claimed;
  assert.ok(first !== undefined);
  return {
    queueId: envelope.queueId,
    domain: 'lab.test' as Domain,
    fence: 1,
    leaseUntil: 0 as Instant,
    envelope,
    recipients: [first, ...rest],
    body: { kind: 'memory', wire },
  };
}

/** A relay's delivery side with its own pool and memory. */
function world(timeouts: Partial<Config['delivery']['timeouts']> = {}) {
  const transport: Transport = createTransport(systemClock);
  const pool = new Pool(systemClock);
  const remembered = new Map<string, RememberedRung>();
  const fallbacks: Fallback[] = [];
  const config = {
    hostname: 'relay.test' as Domain,
    tls: { minVersion: 'TLSv1.2', ladder: ['modern', 'compatible', 'legacy'] },
    delivery: { timeouts: { connect: 2000, greeting: 2000, tls: 400, command: 2000, data: 2000, ...timeouts } },
  } as unknown as Config;
  const deliver = (
    message: Claim,
    order: { readonly connector: OutboundConnector; readonly receivers: readonly Receiver[] },
  ): Promise<AttemptResult> =>
    attempt(
      message,
      { connector: order.connector, config },
      {
        transport,
        pool,
        clock: systemClock,
        avoided: new AvoidedAddresses(),
        memory: {
          recall: (host, address) => remembered.get(`${host} ${address}`) ?? null,
          remember: (host, address, rung, since) => void remembered.set(`${host} ${address}`, { rung, since }),
          forget: (host, address) => void remembered.delete(`${host} ${address}`),
        },
        gather: () => ({ dane: { kind: 'not-applicable', because: 'off' }, mtaSts: { kind: 'not-applicable', problem: null } }),
        materials: () => ({ id: 'lab', trust: { system: false, pem: [labAuthority().caPem] }, clientCertificate: null }),
        onFallback: (fallback) => void fallbacks.push(fallback),
        resolveHosts: () => {
          const [first, ...rest] = order.receivers.map((receiver, at) => ({
            ...ADDRESS_GIVEN,
            name: receiver.hostname as Domain,
            port: receiver.port,
            addresses: [receiver.address] as const,
            preference: at,
          }));
          assert.ok(first !== undefined);
          return { kind: 'hosts', hosts: [first, ...rest] };
        },
      },
    );
  const close = (): void => {
    pool.close();
    transport.close();
  };
  return { deliver, pool, remembered, fallbacks, close };
}

const outcomeOf = (result: AttemptResult, number = 0): string => {
  const outcome = result.report.outcomes.get(number);
  return outcome === undefined
    ? 'none'
    : outcome.kind === 'delivered'
      ? 'delivered'
      : `${outcome.kind} ${outcome.failure.enhanced}`;
};

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
