/**
 * Sessions over real sockets: pipelining, refusals, limits, time, stopping.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { testClock } from '../support/clock.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { HOSTILE } from './hostile-addresses.ts';
import { connected, connector, exact, greeted, introduced, openListener, sendMessage } from './support.ts';

checkLeaks();

const CONTENT = 'A: b\r\n\r\nx\r\n.\r\n';
const ENVELOPE = 'MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n';
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test('EHLO offers what is there and nothing else', async () => {
  const relay = await openListener();
  const client = await greeted(relay.port);
  assert.equal(
    await client.command('EHLO client.test'),
    '250-relay.test|250-STARTTLS|250-PIPELINING|250-SIZE 1000000|250-8BITMIME|250-SMTPUTF8|250-ENHANCEDSTATUSCODES|250 DSN',
  );
  client.close();
  await relay.listener.close();
});

const REPLIES: readonly (readonly [line: string, want: RegExp])[] = [
  ['HELO client.test', /^250 relay\.test$/],
  ['EHLO', /^501 5\.5\.4/],
  ['EHLO a b', /^501 5\.5\.4/],
  [`EHLO ${'x'.repeat(256)}`, /^501 5\.5\.4/],
  ['EHLO evil\x1b[2Jtest', /^501 5\.5\.2/],
  ['EHLO evil\0test', /^501 5\.5\.2/],
  ['EHLO evil\rtest', /^501 5\.5\.2/],
  ['noop', /^250 2\.0\.0/],
  ['VRFY someone', /^252 /],
  ['EXPN list', /^502 5\.5\.1/],
  ['AUTH PLAIN AAAA', /^502 5\.5\.1/],
  ['BDAT 5 LAST', /^502 5\.5\.1/],
  ['WIZ', /^500 5\.5\.2/],
  ['SHELL', /^500 5\.5\.2/],
  ['KILL', /^500 5\.5\.2/],
  ['XCLIENT ADDR=10.0.0.1', /^500 5\.5\.2/],
  ['constructor', /^500 5\.5\.2/],
  ['', /^500 5\.5\.2/],
  ['RCPT TO:<b@example.org>', /^503 5\.5\.1/],
  ['DATA', /^503 5\.5\.1/],
  ['MAIL FROM:<a@client.test> FOO=bar', /^555 5\.5\.4/],
  ['MAIL FROM:<a@client.test> SIZE=1000001', /^552 5\.3\.4/],
  ['MAIL FROM:<a\x01@client.test>', /^501 5\.5\.2/],
  ['MAIL FROM:<\u00e9@client.test>', /^553 5\.6\.7/],
  ['HELP', /^214 2\.0\.0/],
];
test('each command has its reply', async () => {
  for (const [line, want] of REPLIES) {
    const relay = await openListener();
    const client = await introduced(relay.port);
    assert.match(await client.command(line), want, line);
    client.close();
    await relay.listener.close();
  }
});

test('a line that ends in LF alone is refused, and bytes that are no UTF-8', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send('NOOP\n');
  assert.equal(await client.reply(), '500 5.5.2 Lines must end with <CR><LF>');
  client.send(Buffer.from('MAIL FROM:<\xff@client.test> SMTPUTF8\r\n', 'latin1'));
  assert.match(await client.reply(), /^501 5\.5\.2/);
  client.close();
  await relay.listener.close();
});

test('many messages with their bodies in one segment are all taken, and answered in order', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send(`${(ENVELOPE + CONTENT).repeat(6)}QUIT\r\n`);
  const replies = await client.replies(25);
  assert.equal(replies.filter((reply) => /^250 2\.0\.0 Ok: queued/.test(reply)).length, 6);
  assert.equal(replies.at(-1), '221 2.0.0 Bye');
  assert.equal(relay.stored.length, 6);
  await client.toEnd();
  await relay.listener.close();
});

test('a client that closes its side behind the last command still gets its replies', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send(ENVELOPE + CONTENT);
  client.socket.end();
  assert.match(await client.toEnd(), /250 2\.0\.0 Ok: queued as q1\r\n$/);
  await relay.listener.close();
});

test('flags of a refused MAIL do not leak into the next', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  await client.command('MAIL FROM:<a@client.test> SMTPUTF8 RET=FULL ENVID=x SIZE=1000001');
  assert.match(await sendMessage(client, CONTENT), /^250/);
  const envelope = relay.stored[0]?.envelope;
  assert.deepEqual([envelope?.smtpUtf8, envelope?.dsn], [false, { return: null, envelopeId: null }]);
  client.close();
  await relay.listener.close();
});

test('DATA is refused before 354 where no recipient was taken', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send('MAIL FROM:<a@client.test>\r\nDATA\r\nRCPT TO:<x@far.test>\r\nDATA\r\n');
  assert.deepEqual(await client.replies(4), [
    '250 2.1.0 Ok',
    '503 5.5.1 Need RCPT command',
    '550 5.7.1 Relaying denied',
    '554 5.5.1 No valid recipients',
  ]);
  assert.equal(relay.log.rejected[0]?.command, 'rcpt');
  client.close();
  await relay.listener.close();
});

test('recipients: given twice counts once, local parts keep their case, postmaster needs no domain, too many wait', async () => {
  const relay = await openListener({ limits: { recipientsPerMessage: 3 } });
  const client = await introduced(relay.port);
  await client.command('MAIL FROM:<>');
  for (const [address, want] of [
    ['b@example.org', /^250 2\.1\.5/],
    ['b@EXAMPLE.org.', /^250 2\.1\.5/],
    ['B@example.org', /^250 2\.1\.5/],
    ['Postmaster', /^250 2\.1\.5/],
    ['c@example.org', /^452 4\.5\.3/],
    ['b@example.org', /^250 2\.1\.5/],
  ] as const) {
    assert.match(await client.command(`RCPT TO:<${address}>`), want);
  }
  await client.command('DATA');
  client.send(CONTENT);
  await client.reply();
  assert.deepEqual(
    relay.stored[0]?.recipients.map(({ mailbox }) => `${mailbox.localPart}@${mailbox.domain}`),
    ['b@example.org', 'B@example.org', 'postmaster@example.org'],
  );
  assert.equal(relay.stored[0]?.envelope.reversePath, null);
  assert.doesNotMatch(relay.stored[0]?.wire.toString() ?? '', /\tfor </);
  client.close();
  await relay.listener.close();
});

test('no hostile spelling of a recipient gets through to a stranger', async () => {
  const relay = await openListener({ patience: { errors: 1000 } });
  for (const flag of ['', ' SMTPUTF8']) {
    const client = await introduced(relay.port);
    await client.command(`MAIL FROM:<victim@example.org>${flag}`);
    for (const [spelling, verdict] of HOSTILE) {
      const reply = await client.command(`RCPT TO:<${spelling}>`);
      assert.match(reply, verdict === 'never' ? /^5\d\d / : /^[25]\d\d /, spelling);
    }
    await client.command('RCPT TO:<b@example.org>');
    await client.command('DATA');
    client.send(CONTENT);
    await client.reply();
    client.close();
  }
  const domains = relay.stored.flatMap((message) => message.recipients.map(({ mailbox }) => mailbox.domain));
  assert.ok(domains.every((domain) => domain === 'example.org'));
  await relay.listener.close();
});

test('an organization by address relays anywhere, and its name goes with the message', async () => {
  const inside = connector('inside', {
    type: 'organization',
    match: { senderDomains: [], addresses: [{ family: 'ipv4', address: '127.0.0.0', prefix: 8 }], certificates: [] },
  });
  const relay = await openListener({ inbound: [inside], acceptedDomains: [exact('example.org')] });
  const client = await introduced(relay.port);
  assert.match(await sendMessage(client, CONTENT, 'x@far.test'), /^250/);
  const origin = relay.stored[0]?.envelope.origin;
  assert.deepEqual(origin?.kind === 'smtp' && origin.inboundConnectors, ['inside']);
  client.close();
  await relay.listener.close();
});

test('TLS can be demanded of everyone', async () => {
  const relay = await openListener({ listener: { requireTls: true } });
  const client = await introduced(relay.port);
  assert.match(await client.command('MAIL FROM:<a@client.test>'), /^530 5\.7\.0 /);
  await client.command('STARTTLS');
  await client.startTls();
  await client.command('EHLO client.test');
  assert.match(await client.command('MAIL FROM:<a@client.test>'), /^250 /);
  client.close();
  await relay.listener.close();
});

// --- bodies and the store

test('a large body goes to a file, in order and complete; a small one is one exact buffer', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  const lines = Array.from({ length: 9000 }, (_, n) => `${n % 7 === 0 ? '..' : ''}line ${n} ${'x'.repeat(n % 60)}\r\n`).join('');
  assert.match(await sendMessage(client, `A: b\r\n\r\n${lines}.\r\n`), /^250/);
  assert.match(await sendMessage(client, CONTENT), /^250/);
  const [large, small] = relay.stored;
  assert.equal(large?.body.kind, 'file');
  assert.ok(large?.wire.toString().endsWith(`\r\nA: b\r\n\r\n${lines}`));
  assert.equal(large?.envelope.sizeBytes, `A: b\r\n\r\n${lines}`.replaceAll('\r\n..', '\r\n.').length);
  assert.equal(
    small?.body.kind === 'memory' && small.body.wire.byteLength,
    small?.body.kind === 'memory' && small.body.wire.buffer.byteLength,
  );
  client.close();
  await relay.listener.close();
});

test('beyond the size limit: read to the end, then 552, and nothing is left behind', async () => {
  const relay = await openListener({ limits: { messageSizeBytes: 200_000 } });
  const client = await introduced(relay.port);
  const reply = await sendMessage(client, `A: b\r\n\r\n${`${'y'.repeat(78)}\r\n`.repeat(3000)}.\r\n`);
  assert.equal(reply, '552 5.3.4 Message size exceeds the limit');
  assert.match(await client.command('NOOP'), /^250/);
  assert.equal(relay.stored.length, 0);
  assert.ok(relay.abandoned() > 0);
  client.close();
  await relay.listener.close();
});

test('far beyond the size limit the connection is closed', async () => {
  const relay = await openListener({ limits: { messageSizeBytes: 100_000 } });
  const client = await introduced(relay.port);
  client.send(ENVELOPE);
  await client.replies(3);
  client.send('y'.repeat(3_000_000));
  assert.match(await client.toEnd(), /^552 5\.3\.4/);
  await relay.listener.close();
});

const DEFECTS: readonly (readonly [what: string, content: string, want: RegExp])[] = [
  ['NUL in the header', 'A: \0\r\n\r\nx\r\n.\r\n', /^550 5\.6\.0/],
  ['a folded first line', ' a\r\n\r\nx\r\n.\r\n', /^550 5\.6\.0/],
  ['too many hops', `${'Received: from x\r\n'.repeat(51)}\r\nx\r\n.\r\n`, /^554 5\.4\.6/],
];
test('messages with defects are refused after their end, and the session goes on', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  for (const [what, content, want] of DEFECTS) {
    assert.match(await sendMessage(client, content), want, what);
    assert.match(await client.command('NOOP'), /^250/);
  }
  assert.equal(relay.stored.length, 0);
  assert.equal(relay.log.rejected.length, 3);
  client.close();
  await relay.listener.close();
});

test('a store that is full, low or broken: 4xx and nothing kept', async () => {
  const rows = [
    [{ health: { low: true } }, 'MAIL FROM:<a@client.test>', /^452 4\.3\.1/],
    [
      { health: { writable: false, problem: { kind: 'read-only' as const, detail: '' } } },
      'MAIL FROM:<a@client.test>',
      /^452 4\.3\.1/,
    ],
    [
      { health: { writable: false, problem: { kind: 'broken' as const, detail: '' } } },
      'MAIL FROM:<a@client.test>',
      /^451 4\.3\.0/,
    ],
  ] as const;
  for (const [changes, line, want] of rows) {
    const relay = await openListener(changes);
    const client = await introduced(relay.port);
    assert.match(await client.command(line), want);
    client.close();
    await relay.listener.close();
  }
  for (const problem of [
    { acceptProblem: { kind: 'disk-full' as const, detail: '' } },
    { bodyProblem: { kind: 'disk-full' as const, detail: '' } },
  ]) {
    const relay = await openListener(problem);
    const client = await introduced(relay.port);
    assert.match(await sendMessage(client, `A: b\r\n\r\n${`${'y'.repeat(78)}\r\n`.repeat(2000)}.\r\n`), /^452 4\.3\.1/);
    assert.ok(relay.abandoned() > 0);
    assert.equal(relay.stored.length, 0);
    assert.match(await client.command('NOOP'), /^250/);
    client.close();
    await relay.listener.close();
  }
});

test('beyond its memory budget the thread stores unclaimed', async () => {
  const relay = await openListener({ mayClaim: false });
  const client = await introduced(relay.port);
  await sendMessage(client, CONTENT);
  assert.deepEqual([relay.stored[0]?.claimed, relay.offered.length], [false, 0]);
  client.close();
  await relay.listener.close();
});

test('a client that leaves in the middle of a large message leaves nothing behind', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send(ENVELOPE);
  await client.replies(3);
  client.send(`A: b\r\n\r\n${'y'.repeat(200_000)}`);
  await soon();
  client.close();
  while (relay.listener.sessions() > 0) await soon();
  await soon();
  assert.ok(relay.abandoned() > 0);
  assert.deepEqual([relay.stored.length, relay.bugs.length], [0, 0]);
  await relay.listener.close();
});

// --- limits

test('an early talker, a web browser, a line without end', async () => {
  const relay = await openListener();
  const early = await connected(relay.port);
  early.send('EHLO early.test\r\n');
  assert.match(await early.toEnd(), /^(421 4\.7\.0 You talk too soon|220 )/);
  const web = await greeted(relay.port);
  web.send('GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n');
  assert.equal(await web.toEnd(), '421 4.7.0 This is not a web server\r\n');
  const endless = await greeted(relay.port);
  endless.send('x'.repeat(100_000));
  assert.equal(await endless.toEnd(), '500 5.5.2 Line too long\r\n');
  await relay.listener.close();
});

test('errors and junk are borne with only so long; a message starts the count anew', async () => {
  const relay = await openListener();
  const bad = await introduced(relay.port);
  bad.send('FOO\r\n'.repeat(50));
  const heard = await bad.toEnd();
  assert.equal(heard.match(/^500 /gm)?.length, 20);
  assert.match(heard, /421 4\.7\.0 Too many errors\r\n$/);
  const idle = await introduced(relay.port);
  idle.send('NOOP\r\n'.repeat(500));
  const nooped = await idle.toEnd();
  assert.match(nooped, /421 4\.7\.0 Too many commands without mail\r\n$/);
  assert.equal(nooped.match(/^250 /gm)?.length, 99);
  const good = await introduced(relay.port);
  for (let n = 0; n < 6; n += 1) {
    good.send('NOOP\r\n'.repeat(30));
    await good.replies(30);
    assert.match(await sendMessage(good, CONTENT), /^250/);
  }
  good.close();
  await relay.listener.close();
});

test('connections are counted in all and by address, and counted off again', async () => {
  const relay = await openListener({ limits: { connectionsPerAddress: 3 } });
  const open = [await greeted(relay.port), await greeted(relay.port), await greeted(relay.port)];
  const fourth = await connected(relay.port);
  assert.equal(await fourth.toEnd(), '421 4.7.0 Too many connections from your address\r\n');
  await open[0]?.command('QUIT');
  await open[0]?.toEnd();
  while (relay.listener.sessions() > 2) await soon();
  const again = await greeted(relay.port);
  for (const client of [...open, again]) client.close();
  await relay.listener.close();
  const small = await openListener({ limits: { connections: 1 } });
  const first = await greeted(small.port);
  const second = await connected(small.port);
  assert.equal(await second.toEnd(), '421 4.3.2 Too many connections, try again later\r\n');
  first.close();
  await small.listener.close();
});

test('messages a minute are counted by address', async () => {
  const clock = testClock();
  const relay = await openListener({ limits: { messagesPerMinutePerAddress: 2 }, clock });
  const client = await introduced(relay.port);
  await sendMessage(client, CONTENT);
  await sendMessage(client, CONTENT);
  assert.match(await client.command('MAIL FROM:<a@client.test>'), /^450 4\.7\.1/);
  clock.advance(60_000);
  assert.match(await client.command('MAIL FROM:<a@client.test>'), /^250/);
  client.close();
  await relay.listener.close();
});

test('who says nothing, drips commands or drips data is told so and cut off', async () => {
  const clock = testClock();
  const relay = await openListener({ clock });
  const silent = await introduced(relay.port);
  const dripping = await introduced(relay.port);
  dripping.send('NO');
  const slow = await introduced(relay.port);
  slow.send(ENVELOPE);
  await slow.replies(3);
  slow.send('A: b\r\n');
  const handshake = await introduced(relay.port);
  await handshake.command('STARTTLS');
  await soon();
  clock.advance(61_000);
  assert.equal(await slow.toEnd(), '421 4.4.2 Message data came too slowly\r\n');
  assert.equal(await handshake.toEnd(), '');
  assert.equal(silent.heard, '');
  clock.advance(240_000);
  assert.equal(await silent.toEnd(), '421 4.4.2 Timed out waiting for you\r\n');
  assert.equal(await dripping.toEnd(), '421 4.4.2 Timed out waiting for you\r\n');
  await relay.listener.close();
});

test('a session has an end, however busy', async () => {
  const clock = testClock();
  const relay = await openListener({ clock });
  const client = await introduced(relay.port);
  for (let n = 0; n < 13; n += 1) {
    await client.command('NOOP');
    clock.advance(280_000);
    await soon();
  }
  assert.match(await client.toEnd(), /421 4\.4\.2 Session lasted too long\r\n$/);
  await relay.listener.close();
});

// --- stopping

test('drain: idle sessions hear 421, a message under way gets its reply, nothing new is let in', async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const relay = await openListener({ gate });
  const idle = await introduced(relay.port);
  const busy = await introduced(relay.port);
  const reading = await introduced(relay.port);
  for (const client of [busy, reading]) {
    client.send(ENVELOPE);
    await client.replies(3);
  }
  busy.send(CONTENT);
  await soon();
  const drained = relay.listener.drain(new AbortController().signal);
  assert.equal(await idle.toEnd(), '421 4.3.2 Shutting down\r\n');
  reading.send(CONTENT);
  open();
  assert.match(await busy.toEnd(), /^250 2\.0\.0 Ok: queued as q\d\r\n421 4\.3\.2 Shutting down\r\n$/);
  assert.match(await reading.toEnd(), /^250 2\.0\.0 Ok: queued as q\d\r\n421 4\.3\.2 Shutting down\r\n$/);
  await drained;
  assert.equal(relay.stored.length, 2);
  const late = connected(relay.port);
  const outcome = await Promise.race([late.then(() => 'connected'), soon().then(() => 'refused')]);
  assert.equal(outcome, 'refused');
});

test('drain cuts what is left when its time is over; close may be called twice', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.send(ENVELOPE);
  await client.replies(3);
  const hurry = new AbortController();
  const drained = relay.listener.drain(hurry.signal);
  await soon();
  hurry.abort();
  await drained;
  assert.equal(await client.toEnd(), '');
  await relay.listener.close();
  await relay.listener.close();
});

test('a port in use is a problem with a name', async () => {
  const relay = await openListener();
  await assert.rejects(openListener({ listener: { port: relay.port } }), /address-in-use/);
  await relay.listener.close();
});
