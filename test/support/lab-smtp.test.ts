/** The receivers of the lab whose SMTP differs do what their description says. */
import { strict as assert } from 'node:assert';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { type Behaviour, say } from './lab/behaviour.ts';
import type { BehaviourName } from './lab/behaviour-table.ts';
import { type Receiver, type ReceiverOptions, startReceiver } from './lab/receiver.ts';
import { checkLeaks } from './leak-check.ts';
import { connectClient, type ScriptedClient } from './scripted-client.ts';

checkLeaks();

const MAIL = { from: 'a@sender.test', to: ['b@lab.test'], content: 'Subject: x\r\n\r\nhello' };

type Opened = { readonly receiver: Receiver; readonly client: ScriptedClient };

async function open(t: TestContext, name: BehaviourName, options: ReceiverOptions = {}): Promise<Opened> {
  const receiver = await startReceiver(name, options);
  t.after(() => receiver.stop());
  const client = await connectClient(receiver);
  t.after(() => client.destroy());
  return { receiver, client };
}

async function greeted(t: TestContext, name: BehaviourName, options: ReceiverOptions = {}): Promise<Opened> {
  const both = await open(t, name, options);
  await both.client.expect(220);
  await both.client.ehlo();
  return both;
}

/** Commands and replies after EHLO; `close` for the end of the connection. */
type Script = readonly (readonly [send: string, reply: number | 'close' | 'silence'])[];
const TO_DOT: Script = [
  ['MAIL FROM:<a@b.test>', 250],
  ['RCPT TO:<c@d.test>', 250],
  ['DATA', 354],
];
const scripts: Readonly<Partial<Record<BehaviourName, Script>>> = {
  'mail-451': [
    ['MAIL FROM:<a@b.test>', 451],
    ['RCPT TO:<c@d.test>', 503],
  ],
  'mail-550': [['MAIL FROM:<a@b.test>', 550]],
  'rcpt-550': [
    ['MAIL FROM:<a@b.test>', 250],
    ['RCPT TO:<c@d.test>', 550],
    ['DATA', 554],
  ],
  'rcpt-mixed': [
    ['MAIL FROM:<a@b.test>', 250],
    ['RCPT TO:<bad@d.test>', 550],
    ['RCPT TO:<later1@d.test>', 451],
    ['RCPT TO:<c@d.test>', 250],
    ['DATA', 354],
    ['x\r\n.', 250],
  ],
  'data-451': [
    ['MAIL FROM:<a@b.test>', 250],
    ['RCPT TO:<c@d.test>', 250],
    ['DATA', 451],
  ],
  'dot-451': [...TO_DOT, ['x\r\n.', 451]],
  'dot-552': [...TO_DOT, ['x\r\n.', 552]],
  'dot-drop': [...TO_DOT, ['x\r\n.', 'close']],
  'dot-stall': [...TO_DOT, ['x\r\n.', 'silence']],
  'data-drop': [...TO_DOT, ['half a messa', 'close']],
  '421-after-mail': [
    ['MAIL FROM:<a@b.test>', 250],
    ['RCPT TO:<c@d.test>', 421],
    ['', 'close'],
  ],
  '421-second-message': [...TO_DOT, ['x\r\n.', 250], ['MAIL FROM:<a@b.test>', 421], ['', 'close']],
  'rset-fails': [...TO_DOT, ['x\r\n.', 250], ['RSET', 502]],
  'no-8bitmime': [['MAIL FROM:<a@b.test> BODY=8BITMIME', 555], ...TO_DOT, ['\u00fc\r\n.', 554]],
  'no-smtputf8': [
    ['MAIL FROM:<a@b.test> SMTPUTF8', 555],
    ['MAIL FROM:<\u00fc@b.test>', 553],
  ],
  'size-small': [
    ['MAIL FROM:<a@b.test> SIZE=1001', 552],
    ['MAIL FROM:<a@b.test> SIZE=1000', 250],
    ['RSET', 250],
    ...TO_DOT,
    [`${'x'.repeat(1000)}\r\n.`, 552],
  ],
  'no-pipelining': [
    ['NOOP', 250],
    ['MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>', 503],
    ['', 'close'],
  ],
  dsn: [
    ['MAIL FROM:<a@b.test> RET=HDRS ENVID=e1', 250],
    ['RCPT TO:<c@d.test> NOTIFY=NEVER ORCPT=rfc822;x@y.test', 250],
    ['DATA', 354],
    ['x\r\n.', 250],
  ],
  tls13: [
    ['MAIL FROM:<a@b.test> RET=HDRS', 555],
    ['RCPT TO:<c@d.test>', 503],
    ['DATA', 503],
    ['WHAT', 500],
    ['NOOP', 250],
    ['QUIT', 221],
    ['', 'close'],
  ],
};
for (const [name, script] of Object.entries(scripts) as [BehaviourName, Script][]) {
  test(`${name}: ${script.map(([, reply]) => reply).join(' ')}`, async (t) => {
    const { receiver, client } = await greeted(t, name);
    for (const [line, reply] of script) {
      if (line !== '') client.raw(`${line}\r\n`);
      if (reply === 'close') await client.expectClose();
      else if (reply === 'silence') await receiver.waitForEvent('message');
      else await client.expect(reply);
    }
    client.destroy();
    await receiver.waitForEvent('close');
    assert.equal(
      receiver.eventsOf('error').find((fact) => fact.problem.startsWith('bug')),
      undefined,
    );
  });
}

test('rcpt-mixed and dsn: the message carries the accepted recipients and every parameter', async (t) => {
  const { receiver, client } = await greeted(t, 'dsn');
  await client.command('MAIL FROM:<a@b.test> RET=HDRS ENVID=e1', 250);
  await client.command('RCPT TO:<c@d.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y.test', 250);
  await client.command('RCPT TO:<nobody', 501);
  await client.command('DATA', 354);
  client.raw('x\r\n.\r\n');
  const [message] = await receiver.waitForMessages(1);
  assert.equal(message?.from, '<a@b.test> RET=HDRS ENVID=e1');
  assert.deepEqual(message?.recipients, ['<c@d.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y.test']);
  client.destroy();
});

test('dot-drop: the message was read and counts as seen, not as accepted', async (t) => {
  const { receiver, client } = await greeted(t, 'dot-drop');
  assert.equal(await client.send(MAIL), null);
  assert.deepEqual(receiver.messages(), []);
  assert.equal(receiver.seenMessages().length, 1);
});

test('greetings: 554 and 421 then close, silence, close without a word', async (t) => {
  for (const [name, code] of [
    ['greeting-554', 554],
    ['greeting-421', 421],
  ] as const) {
    const { client } = await open(t, name);
    await client.expect(code);
    await client.expectClose();
  }
  await (await open(t, 'null-greeting-close')).client.expectClose();
  const { receiver, client } = await open(t, 'greeting-stall');
  client.raw('EHLO impatient.test\r\n');
  client.destroy();
  await receiver.waitForEvent('close');
  assert.equal(receiver.eventsOf('ehlo').length, 0);
});

test('plain-smtp: EHLO is refused, HELO is enough', async (t) => {
  const { receiver, client } = await open(t, 'plain-smtp');
  await client.expect(220);
  await client.command('EHLO client.test', 502);
  await client.command('HELO client.test', 250);
  assert.equal((await client.send(MAIL))?.code, 250);
  await client.quit();
  await receiver.waitForMessages(1);
});

test('421-second-message: a new connection takes the second message', async (t) => {
  const { receiver, client } = await greeted(t, '421-second-message');
  await client.send(MAIL);
  await client.command('MAIL FROM:<a@b.test>', 421);
  const again = await connectClient(receiver);
  await again.expect(220);
  await again.ehlo();
  assert.equal((await again.send(MAIL))?.code, 250);
  assert.equal((await receiver.waitForMessages(2)).length, 2);
  await again.quit();
});

test('slow and drip: the reply comes whole, only late', async (t) => {
  for (const name of ['slow', 'drip'] as const) {
    const { client } = await greeted(t, name, { pause: 1 });
    await client.quit();
  }
});

test('endless-reply: continuation lines until the client leaves', async (t) => {
  const { receiver, client } = await open(t, 'endless-reply');
  await client.expect(220);
  client.raw('EHLO client.test\r\n');
  await assert.rejects(client.reply(50), /no reply/);
  client.destroy();
  await receiver.waitForEvent('close');
});

test('huge-reply-line: a line far beyond the 512 octets of RFC 5321', async (t) => {
  const { client } = await open(t, 'huge-reply-line');
  await client.expect(220);
  client.raw('EHLO client.test\r\n');
  let longest = 0;
  let octets = 0;
  for await (const chunk of client.socket()) {
    octets += chunk.length;
    longest = chunk.includes('\n') ? Math.max(longest, octets) : longest;
    if (octets > 256 * 1024) break;
  }
  assert.ok(octets > 256 * 1024);
});

test('one thing changed: a test may bend a behaviour', async (t) => {
  const change = (behaviour: Behaviour): Behaviour => ({ ...behaviour, answers: { noop: () => say('250 2.0.0 bent') } });
  const { client } = await greeted(t, 'tls13', { change });
  assert.deepEqual((await client.command('NOOP', 250)).lines, ['250 2.0.0 bent']);
  await client.quit();
});

test('pipelined commands and messages, cut anywhere, are all answered in order', async (t) => {
  const { receiver, client } = await greeted(t, 'tls13');
  const one = 'MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: y\r\n\r\n..\r\n...\r\n.\r\n';
  const all = Buffer.from(`${one.repeat(3)}QUIT\r\n`);
  for (let at = 0; at < all.length; at += 7) client.raw(all.subarray(at, at + 7));
  for (const code of [250, 250, 354, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221]) await client.expect(code);
  await client.expectClose();
  assert.deepEqual(
    new Set(receiver.messages().map((message) => message.content.toString())),
    new Set(['Subject: y\r\n\r\n.\r\n..\r\n']),
  );
});

test('a message of 4 MiB is hashed whole and kept in part', async (t) => {
  const { receiver, client } = await greeted(t, 'tls13', { keepOctets: 100 });
  const content = `${randomBytes(3 * 1024 * 1024)
    .toString('base64')
    .replace(/.{76}/g, '$&\r\n')}\r\n`;
  client.raw(`MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n${content}.\r\n`);
  const [message] = await receiver.waitForMessages(1);
  assert.equal(message?.size, content.length);
  assert.equal(message?.sha256, createHash('sha256').update(content).digest('hex'));
  assert.equal(message?.content.length, 100);
  client.destroy();
});
