import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Fallback } from '../../src/delivery/walk-hosts.ts';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { DeliveryOutcome, DeliveryReport } from '../../src/domain/outcome.ts';
import type { RecipientSettlement } from '../../src/domain/queue.ts';
import type { PolicySource, TlsPolicy } from '../../src/domain/tls.ts';
import type { InboundLog } from '../../src/inbound/context.ts';
import type { LogFields, Logger } from '../../src/platform/logger.ts';
import { policyFields } from '../../src/reporting/delivery-line-format.ts';
import { createDeliveryLog } from '../../src/reporting/delivery-log.ts';
import { renderNotice } from '../../src/reporting/dsn-format.ts';
import { claim, facts, failure, NOW, RECEIVED } from './facts.ts';

type Line = readonly [level: string, event: string, fields: LogFields];

function recorder(): { readonly lines: Line[]; readonly log: Logger } {
  const lines: Line[] = [];
  const at = (level: string) => (event: string, fields: LogFields) => void lines.push([level, event, fields]);
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

const TLS = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', group: 'X25519', peer: null };
const POLICY: TlsPolicy = { plaintext: 'allowed', ladder: ['modern', 'compatible'], peer: [], because: [{ kind: 'default' }] };
const DELIVERED: DeliveryOutcome = {
  kind: 'delivered',
  reply: { code: 250, enhanced: '2.0.0', text: 'ok\x1b[2J' },
  relayedDsn: false,
};

const report = (outcome: DeliveryOutcome, path: Partial<DeliveryReport['path']> = {}): DeliveryReport => ({
  path: {
    connector: 'default',
    policy: POLICY,
    mx: 'mx.example.net',
    ip: '192.0.2.1',
    rung: 'modern',
    tls: TLS,
    fallbacks: [],
    wouldBlock: null,
    ...path,
  },
  startedAt: (NOW - 40) as Instant,
  endedAt: NOW,
  outcomes: new Map([[0, outcome]]),
});

test('delivery.delivered has every common field, in their order', () => {
  const { lines, log } = recorder();
  createDeliveryLog(log).settled({ claim: claim(), settled: [{ number: 0, becomes: 'delivered' }], report: report(DELIVERED) });
  assert.deepEqual(lines, [
    [
      'info',
      'delivery.delivered',
      {
        queueId: '01ORIGINAL',
        from: 'alice@example.org',
        to: 'bob@example.net',
        connector: 'default',
        policy: { level: 'opportunistic', source: 'default' },
        mx: 'mx.example.net',
        ip: '192.0.2.1',
        rung: 'modern',
        tls: TLS,
        reply: { code: 250, enhanced: '2.0.0', text: 'ok\\x1b[2J' },
        attempt: 3,
        delayMs: NOW - RECEIVED,
        attemptMs: 40,
      },
    ],
  ]);
});

const OUTCOMES: readonly [RecipientSettlement, level: string, event: string][] = [
  [
    { number: 0, becomes: 'queued', due: NOW, attention: NOW, failure: failure(), delayNoticeSent: false },
    'info',
    'delivery.deferred',
  ],
  [{ number: 0, becomes: 'bounced', failure: failure() }, 'warn', 'delivery.failed'],
  [{ number: 0, becomes: 'expired', failure: failure() }, 'warn', 'delivery.expired'],
];
for (const [settled, level, event] of OUTCOMES) {
  test(`${settled.becomes} -> ${event}, null tls in plaintext, with status and text`, () => {
    const { lines, log } = recorder();
    const outcome: DeliveryOutcome = { kind: 'deferred', failure: failure() };
    createDeliveryLog(log).settled({
      claim: claim(),
      settled: [settled],
      report: report(outcome, { tls: null, rung: 'plaintext' }),
    });
    const [line] = lines;
    assert.deepEqual([line?.[0], line?.[1]], [level, event]);
    assert.equal(line?.[2]['tls'], null);
    assert.equal(line?.[2]['status'], '5.1.1');
    assert.deepEqual(line?.[2]['reply'], { code: 550, enhanced: '5.1.1', text: 'No such user here' });
    assert.equal(line?.[2]['nextAttempt'], settled.becomes === 'queued' ? '2026-01-02T03:04:05.000Z' : undefined);
  });
}

test('tls.fallback says which rung was left for which and why', () => {
  const { lines, log } = recorder();
  const failure = { kind: 'refused', code: 454, text: 'no\n' } as const;
  const fallback = {
    connector: 'default',
    mx: 'mx.example.net',
    ip: '192.0.2.1',
    from: 'legacy',
    to: 'plaintext',
    failure,
  } as const;
  createDeliveryLog(log).tlsFallback(fallback satisfies Fallback);
  const { mx, ip } = fallback;
  const fields = {
    connector: 'default',
    mx,
    ip,
    rung: 'plaintext',
    leftRung: 'legacy',
    failure: { ...failure, text: 'no\\x0a' },
  };
  assert.deepEqual(lines, [['warn', 'tls.fallback', fields]]);
});

const SOURCES: readonly [PolicySource, string][] = [
  [{ kind: 'connector', name: 'partner' }, 'connector:partner'],
  [{ kind: 'dane', tlsaBase: 'mx.example' as Domain }, 'dane:mx.example'],
  [{ kind: 'mta-sts', domain: 'example.net' as Domain, id: '1' }, 'mta-sts:example.net'],
  [{ kind: 'message', demand: 'requiretls' }, 'requiretls'],
  [{ kind: 'credentials' }, 'credentials'],
  [{ kind: 'default' }, 'default'],
];
test('policy sources', () => {
  for (const [source, text] of SOURCES) assert.equal(policyFields({ ...POLICY, because: [source] }).source, text);
  const both = policyFields({
    plaintext: 'never',
    ladder: ['modern'],
    peer: [],
    because: [{ kind: 'connector', name: 'p' }, { kind: 'credentials' }],
  });
  assert.deepEqual(both, { level: 'encrypt', source: 'connector:p,credentials' });
});

const CLIENT = { ip: '192.0.2.7', helo: 'client.example', listener: 'mx', tls: null };
const accepted = (to: readonly string[]) => ({
  ...CLIENT,
  queueId: '01ABC' as QueueId,
  from: '',
  to,
  sizeBytes: 5,
  connectors: [],
  user: null,
});

test('message.accepted names its recipients, up to twenty', () => {
  const { lines, log } = recorder();
  const inbound: InboundLog = createDeliveryLog(log);
  inbound.messageAccepted(accepted(['bob@example.net']));
  inbound.messageAccepted(accepted(Array.from({ length: 30 }, (_, n) => `user${n}@example.net`)));
  assert.deepEqual([lines[0]?.[1], lines[0]?.[2]['from'], lines[0]?.[2]['to']], ['message.accepted', '', 'bob@example.net']);
  const to = lines[1]?.[2]['to'];
  assert.ok(Array.isArray(to));
  assert.deepEqual([to.length, lines[1]?.[2]['recipients']], [20, 30]);
});

test('what test mode let through and who could not log in is told; the password is nowhere', () => {
  const { lines, log } = recorder();
  const delivery = createDeliveryLog(log);
  const reply = { code: 530, enhanced: '5.7.10', text: 'TLS is required for mail from this sender' } as const;
  delivery.policyWouldBlock({ ...CLIENT, connector: 'contoso-in', from: 'a@contoso.com', reply });
  delivery.loginFailed({ ...CLIENT, mechanism: 'PLAIN', user: null, reply: { code: 535, enhanced: '5.7.8', text: 'no' } });
  assert.deepEqual(
    lines.map(([level, event, line]) => [level, event, line['connector'], line['from'], line['user']]),
    [
      ['warn', 'policy.would-block', 'contoso-in', 'a@contoso.com', undefined],
      ['warn', 'login.failed', undefined, undefined, null],
    ],
  );
});

test('rejections carry the reply; foreign text is capped and escaped', () => {
  const { lines, log } = recorder();
  const delivery = createDeliveryLog(log);
  const hostile = { ...CLIENT, helo: 'evil\r\n{"event":"x"}'.repeat(100) };
  const reply = { code: 550, enhanced: '5.7.1', text: 'Relaying denied' } as const;
  delivery.messageRejected({ ...hostile, command: 'rcpt', from: null, to: ['a\x00@b'], connectors: [], reply });
  delivery.sessionRejected({ ...hostile, reason: 'too many\nconnections', reply: null });
  assert.deepEqual(
    lines.map(([, event]) => event),
    ['message.rejected', 'session.rejected'],
  );
  assert.equal(lines[0]?.[2]['to'], 'a\\x00@b');
  assert.deepEqual(lines[0]?.[2]['reply'], reply);
  const helo = String(lines[0]?.[2]['helo']);
  assert.ok(helo.length <= 255 && !/[\r\n]/.test(helo));
});

test('bounce.created and the failure of what an operator gave up', () => {
  const { lines, log } = recorder();
  const delivery = createDeliveryLog(log);
  const message = renderNotice(facts());
  assert.ok(message);
  const given = failure({ mx: null, ip: null, reply: null });
  delivery.returned(claim(), [{ number: 0, becomes: 'bounced', failure: given }], NOW);
  delivery.bounceCreated({ kind: 'failure', message }, claim());
  assert.deepEqual(
    lines.map(([, event, { queueId, to, about }]) => [event, queueId, to, about]),
    [
      ['delivery.failed', '01ORIGINAL', 'bob@example.net', undefined],
      ['bounce.created', '02NOTICE', 'alice@example.org', '01ORIGINAL'],
    ],
  );
});
