/**
 * The Received field: its clauses, and what a client cannot put into it.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import { type TraceFacts, traceHeader } from '../../src/inbound/trace-header-format.ts';

const recipient = (localPart: string) => ({
  mailbox: { localPart, domain: 'example.org' as Domain },
  notify: null,
  originalRecipient: null,
});
const FACTS: TraceFacts = {
  ip: '203.0.113.5',
  helo: 'client.test',
  extended: true,
  tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', group: 'X25519MLKEM768', peer: null },
  authenticated: false,
  smtpUtf8: false,
  hostname: 'relay.example.org',
  queueId: 'abc123' as QueueId,
  recipients: [recipient('b')],
  receivedAt: Date.UTC(2026, 1, 3, 4, 5, 6) as Instant,
};

test('all clauses, in the order of RFC 5321, folded', () => {
  assert.equal(
    traceHeader(FACTS),
    'Received: from client.test ([203.0.113.5])\r\n' +
      '\tby relay.example.org (Postern) with ESMTPS\r\n' +
      '\t(TLSv1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768)\r\n' +
      '\tid abc123\r\n\tfor <b@example.org>\r\n' +
      '\ttls TLS_AES_256_GCM_SHA384 group X25519MLKEM768;\r\n' +
      '\tTue, 03 Feb 2026 04:05:06 +0000\r\n',
  );
});

const rows: readonly (readonly [what: string, change: Partial<TraceFacts>, want: RegExp])[] = [
  ['in plaintext', { tls: null }, /with ESMTP\r\n\tid abc123/],
  ['HELO', { tls: null, extended: false }, /with SMTP\r\n/],
  ['SMTPUTF8 over TLS', { smtpUtf8: true }, /with UTF8SMTPS\r\n/],
  [
    'RSA key exchange has no group',
    { tls: { version: 'TLSv1.2', cipher: 'TLS_RSA_WITH_AES_128_GCM_SHA256', group: null, peer: null } },
    /GCM_SHA256\)\r\n.*tls TLS_RSA_WITH_AES_128_GCM_SHA256;/s,
  ],
  ['IPv6', { ip: '2001:db8::1' }, /\(\[IPv6:2001:db8::1\]\)/],
  ['a HELO that is a literal', { helo: '[192.0.2.1]' }, /from \[192\.0\.2\.1\] \(/],
  ['a HELO that would close the comment', { helo: '(x);<y>"z\\' }, /from \?x\?\?\?y\?\?z\? \(/],
  ['non-ASCII recipient without SMTPUTF8 is left out', { recipients: [recipient('\u00e9')] }, /id abc123\r\n\ttls/],
  [
    'non-ASCII recipient with SMTPUTF8 is told',
    { recipients: [recipient('\u00e9')], smtpUtf8: true },
    /for <\u00e9@example\.org>/,
  ],
  ['several recipients are not told of each other', { recipients: [recipient('b'), recipient('c')] }, /id abc123\r\n\ttls/],
];
for (const [what, change, want] of rows) test(what, () => assert.match(traceHeader({ ...FACTS, ...change }), want));

test('no HELO makes more than one field, or a line that is not folded', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 255 }), (helo) => {
      const lines = traceHeader({ ...FACTS, helo }).split('\r\n');
      assert.equal(lines.pop(), '');
      assert.ok(lines.slice(1).every((line) => line.startsWith('\t')));
      assert.ok(lines.every((line) => /^[\x09\x20-\x7e]*$/.test(line)));
    }),
  );
});
