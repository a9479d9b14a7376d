import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Envelope, QueueId } from '../../src/domain/envelope.ts';
import type { EnhancedStatusCode } from '../../src/domain/outcome.ts';
import { type DsnFacts, RETURN_LIMIT, renderNotice } from '../../src/reporting/dsn-format.ts';
import { dotStuff, dotUnstuff } from '../../src/reporting/mime-format.ts';
import type { Notice } from '../../src/reporting/notice-policy.ts';
import { envelope, facts, failure, mailbox, NOW, ORIGINAL, RECEIVED, recipient } from './facts.ts';
import { fields, type ParsedPart, parseMails } from './parsed-mail.ts';

function render(given: DsnFacts): { readonly bytes: Buffer; readonly envelope: Envelope } {
  const message = renderNotice(given);
  assert.ok(message?.body.kind === 'memory');
  const bytes = Buffer.from(dotUnstuff(message.body.wire));
  assert.equal(message.envelope.sizeBytes, bytes.length);
  return { bytes, envelope: message.envelope };
}

function read(given: DsnFacts): ParsedPart {
  const [parsed] = parseMails([render(given).bytes]);
  assert.ok(parsed);
  return parsed;
}

test('a failure notice has its three parts and the fields of RFC 3464', () => {
  const mail = read(
    facts({
      original: envelope({ dsn: { return: null, envelopeId: 'QQ+2B3+3D' } }),
      notice: {
        kind: 'failure',
        recipients: [
          {
            recipient: recipient('bob@example.net', { originalRecipient: 'rfc822;bob+2Bx@list.example' }),
            failure: failure(),
            attempts: 1,
            expired: false,
          },
          {
            recipient: recipient('carol@example.net'),
            failure: failure({ enhanced: '4.4.1', reply: null, mx: null }),
            attempts: 9,
            expired: true,
          },
        ],
      },
    }),
  );
  assert.deepEqual(
    [mail.type, ...mail.parts.map(({ type }) => type)],
    ['multipart/report', 'text/plain', 'message/delivery-status', 'text/rfc822-headers'],
  );
  assert.deepEqual(fields(mail, 'from'), ['Mail Delivery System <MAILER-DAEMON@example.org>']);
  assert.deepEqual(fields(mail, 'to'), ['<alice@example.org>']);
  assert.deepEqual(fields(mail, 'date'), ['Fri, 02 Jan 2026 03:04:05 +0000']);
  assert.deepEqual(fields(mail, 'auto-submitted'), ['auto-replied']);
  assert.deepEqual(fields(mail, 'message-id'), ['<02NOTICE@relay.example.org>']);
  assert.match(String(fields(mail, 'content-type')), /report-type=delivery-status/);
  const [message, bob, carol] = mail.parts[1]?.parts ?? [];
  assert.deepEqual(message?.headers, [
    ['Original-Envelope-Id', 'QQ+3='],
    ['Reporting-MTA', 'dns; relay.example.org'],
    ['Arrival-Date', 'Thu, 01 Jan 2026 03:04:05 +0000'],
  ]);
  assert.deepEqual(bob?.headers, [
    ['Original-Recipient', 'rfc822; bob+x@list.example'],
    ['Final-Recipient', 'rfc822; bob@example.net'],
    ['Action', 'failed'],
    ['Status', '5.1.1'],
    ['Remote-MTA', 'dns; mx.example.net'],
    ['Diagnostic-Code', 'smtp; 550 5.1.1 No such user here'],
    ['Last-Attempt-Date', 'Fri, 02 Jan 2026 03:04:05 +0000'],
  ]);
  assert.deepEqual(fields(carol, 'status'), ['5.4.1'], 'the number of the delays, as a permanent one');
  assert.deepEqual(fields(carol, 'remote-mta'), ['dns; [192.0.2.1]']);
  assert.deepEqual(fields(carol, 'diagnostic-code'), []);
  assert.equal(mail.parts[2]?.content, 'Received: from a by b\r\nSubject: Hello\r\nFrom: alice@example.org\r\n');
});

test('the notice goes from the null reverse-path to the sender and asks for nothing', () => {
  const message = renderNotice(facts());
  assert.ok(message);
  assert.equal(message.envelope.reversePath, null);
  assert.deepEqual(message.envelope.origin, { kind: 'notice' });
  assert.equal(message.envelope.receivedAt, NOW);
  assert.deepEqual(message.recipients, [{ mailbox: mailbox('alice@example.org'), notify: [], originalRecipient: null }]);
  assert.equal(renderNotice(facts({ original: envelope({ reversePath: null }) })), null);
});

test('the text says what happened, who can put it right, and how', () => {
  const text = read(facts()).parts[0]?.content?.replace(/\r\n\s*/g, ' ') ?? '';
  assert.match(text, /could not be delivered to the recipient below/);
  assert.match(text, /<bob@example\.net>/);
  assert.match(text, /mx\.example\.net \[192\.0\.2\.1\] said: 550 5\.1\.1 No such user here/);
  assert.match(text, /Who can put it right: you, the sender How: Check the address/);
  assert.match(text, /Queue id: 01ORIGINAL/);
});

const OWNERS: readonly [code: EnhancedStatusCode, owner: RegExp][] = [
  ['5.1.1', /you, the sender/],
  ['5.2.2', /the recipient or the administrator/],
  ['5.4.6', /administrator of this mail relay/],
  ['5.4.317', /the recipient or the administrator/],
  ['5.7.26', /administrator of this mail relay/],
  ['5.7.30', /you, the sender/],
  ['5.0.0', /the recipient or the administrator/],
];
for (const [enhanced, owner] of OWNERS) {
  test(`${enhanced}: someone is told to act`, () => {
    const given = failure({ enhanced });
    const notice: Notice = {
      kind: 'failure',
      recipients: [{ recipient: recipient(), failure: given, attempts: 1, expired: false }],
    };
    const text = render(facts({ notice }))
      .bytes.toString()
      .replace(/\r\n\s*/g, ' ');
    assert.match(/Who can put it right: (.*?) How:/.exec(text)?.[1] ?? '', owner);
  });
}

test('a delay notice says until when, with 4.x.x and Will-Retry-Until', () => {
  const trouble = {
    recipient: recipient(),
    failure: failure({ permanent: false, enhanced: '4.4.1' }),
    attempts: 6,
    expired: false,
  };
  const mail = read(facts({ notice: { kind: 'delay', recipients: [trouble], willRetryUntil: RECEIVED } }));
  const [, bob] = mail.parts[1]?.parts ?? [];
  assert.deepEqual(fields(bob, 'action'), ['delayed']);
  assert.deepEqual(fields(bob, 'status'), ['4.4.1']);
  assert.deepEqual(fields(bob, 'will-retry-until'), ['Thu, 01 Jan 2026 03:04:05 +0000']);
  assert.match(mail.parts[0]?.content ?? '', /do not need to send it again/);
});

test('a success notice reports relayed, in class 2', () => {
  const relayed = {
    recipient: recipient(),
    reply: { code: 250, enhanced: null, text: 'ok queued' },
    mx: 'mx.example.net',
    ip: '2001:db8::1',
  };
  const mail = read(facts({ notice: { kind: 'success', recipients: [relayed] } }));
  const [, bob] = mail.parts[1]?.parts ?? [];
  assert.deepEqual(fields(bob, 'action'), ['relayed']);
  assert.deepEqual(fields(bob, 'status'), ['2.0.0']);
  assert.deepEqual(fields(bob, 'diagnostic-code'), ['smtp; 250 ok queued']);
});

const RETURNS: readonly [name: string, change: (given: DsnFacts) => Partial<DsnFacts>, type: string | undefined][] = [
  ['operator and sender want it whole', () => ({}), 'message/rfc822'],
  ['RET=HDRS', () => ({ original: envelope({ dsn: { return: 'headers', envelopeId: null } }) }), 'text/rfc822-headers'],
  ['REQUIRETLS', () => ({ original: envelope({ requireTls: true }) }), 'text/rfc822-headers'],
  ['only the beginning was read', () => ({ originalContent: { wire: ORIGINAL, complete: false } }), 'text/rfc822-headers'],
  [
    'too large',
    () => ({ originalContent: { wire: Buffer.concat([ORIGINAL, Buffer.alloc(RETURN_LIMIT, 'x\r\n')]), complete: true } }),
    'text/rfc822-headers',
  ],
  [
    'operator wants headers',
    (given) => ({ config: { ...given.config, bounces: { ...given.config.bounces, return: 'headers' } } }),
    'text/rfc822-headers',
  ],
  ['unreadable', () => ({ originalContent: null }), undefined],
];
for (const [name, change, type] of RETURNS) {
  test(`what is returned: ${name} -> ${type ?? 'nothing'}`, () => {
    const base = facts({ original: envelope({ dsn: { return: 'full', envelopeId: null } }) });
    const full = { ...base, config: { ...base.config, bounces: { ...base.config.bounces, return: 'full' as const } } };
    const mail = read({ ...full, ...change(full) });
    assert.equal(mail.parts[2]?.type, type);
    if (type === 'message/rfc822') assert.equal(mail.parts[2]?.parts[0]?.content, 'The body.\r\n.dot\r\n');
  });
}

test('REQUIRETLS of the original holds for the notice', () => {
  assert.equal(render(facts({ original: envelope({ requireTls: true }) })).envelope.requireTls, true);
});

test('SMTPUTF8: the types of RFC 6533, and SMTPUTF8 only where the way back needs it', () => {
  const trouble = { recipient: recipient('δοκιμή@example.net'), failure: failure(), attempts: 1, expired: false };
  const wire = Buffer.from('Subject: Ελλάδα\r\n\r\nx\r\n');
  const given = facts({
    original: envelope({ smtpUtf8: true }),
    originalContent: { wire, complete: true },
    notice: { kind: 'failure', recipients: [trouble] },
  });
  const { bytes, envelope: own } = render(given);
  assert.equal(own.smtpUtf8, false);
  assert.equal(own.eightBit, true);
  assert.match(bytes.toString(), /Content-Type: message\/global-delivery-status\r\nContent-Transfer-Encoding: 8bit/);
  assert.match(bytes.toString(), /Final-Recipient: utf-8; δοκιμή@example\.net/);
  assert.match(bytes.toString(), /Content-Type: message\/global-headers/);
  assert.equal(
    render({ ...given, original: envelope({ smtpUtf8: true, reversePath: mailbox('άλφα@example.org') }) }).envelope.smtpUtf8,
    true,
  );
});

test('raw 8-bit headers of an ordinary message come back as quoted-printable, so that the way back needs no 8BITMIME', () => {
  const wire = Buffer.from('Subject: caf\xe9 =\r\n..dotted: \r\n\r\nx\r\n', 'latin1');
  const { bytes, envelope: own } = render(facts({ originalContent: { wire, complete: true } }));
  assert.equal(own.eightBit, false);
  assert.match(bytes.toString(), /Subject: caf=E9 =3D\r\n\.dotted:=20\r\n/);
});

test('a boundary that occurs in the original is not used', () => {
  const wire = Buffer.from('Subject: x\r\n--=_seed: y\r\n--=_seed.1\r\n\r\n');
  const mail = read(facts({ boundarySeed: 'seed', originalContent: { wire, complete: true } }));
  assert.equal(mail.parts.length, 3);
  assert.match(String(fields(mail, 'content-type')), /boundary="=_seed\.2"/);
});

test('many recipients: all in the status, the first fifty in the text', () => {
  const troubles = Array.from({ length: 300 }, (_, n) => ({
    recipient: recipient(`user${n}@example.net`),
    failure: failure(),
    attempts: 1,
    expired: false,
  }));
  const [first, ...rest] = troubles;
  assert.ok(first);
  const mail = read(facts({ notice: { kind: 'failure', recipients: [first, ...rest] } }));
  assert.equal(mail.parts[1]?.parts.length, 301);
  assert.match(mail.parts[0]?.content ?? '', /and 250 more, listed in the attached report/);
});

const hostile = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 1200 }),
  fc.constantFrom(
    'x\r\nBcc: victim@example.com',
    'x\r\n\r\n--=_seed\r\nContent-Type: text/html\r\n\r\n<script>',
    '.\r\n.\r\nQUIT',
    '\x00\x1b[2J',
    'y'.repeat(5000),
    'é'.repeat(512),
    '=?utf-8?q?x?= --=_seed--',
  ),
);

test('whatever peers and senders write, the notice keeps its shape', () => {
  const arbitrary = fc.record({
    text: hostile,
    reply: hostile,
    mx: hostile,
    orcpt: hostile,
    envid: hostile,
    headers: hostile,
    utf8: fc.boolean(),
  });
  const messages: Buffer[] = [];
  fc.assert(
    fc.property(arbitrary, (foreign) => {
      const trouble = {
        recipient: recipient('bob@example.net', { originalRecipient: `rfc822;${foreign.orcpt}` }),
        failure: failure({ text: foreign.text, mx: foreign.mx, reply: { code: 550, enhanced: '5.0.0', text: foreign.reply } }),
        attempts: 1,
        expired: false,
      };
      const { bytes } = render(
        facts({
          boundarySeed: 'seed',
          notice: { kind: 'failure', recipients: [trouble] },
          original: envelope({ smtpUtf8: foreign.utf8, dsn: { return: null, envelopeId: foreign.envid } }),
          originalContent: { wire: Buffer.from(dotStuff(`${foreign.headers}\r\n`)), complete: true },
        }),
      );
      messages.push(bytes);
      const status = bytes.subarray(0, bytes.indexOf('-headers'));
      for (const line of status.toString('latin1').split('\r\n')) {
        assert.ok(line.length <= 998, `a line of ${line.length} octets`);
        assert.doesNotMatch(line, /[\r\n\x00\x1b]/);
      }
    }),
    { numRuns: 150 },
  );
  for (const mail of parseMails(messages)) {
    assert.equal(mail.type, 'multipart/report');
    assert.equal(mail.headers.length, 8);
    assert.deepEqual(fields(mail, 'bcc'), []);
    assert.equal(mail.parts.length, 3);
    assert.deepEqual(mail.defects, []);
    const status = mail.parts[1];
    if (status?.type !== 'message/delivery-status') continue;
    assert.equal(status.parts.length, 2);
    assert.deepEqual(fields(status.parts[1], 'status'), ['5.1.1']);
    assert.equal(status.parts[1]?.headers.length, 7);
  }
});

test('names come from the facts', () => {
  const given = facts({ queueId: 'ABC' as QueueId });
  assert.equal(render(given).envelope.queueId, 'ABC');
});
