/**
 * AUTH over real sessions: where it is offered, what it proves, and what guessing costs. REQUIRETLS and test mode, too: what else a
 * session may only ask for inside TLS.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { UserConfig } from '../../src/domain/user.ts';
import { hashPassword, openPasswordCheck } from '../../src/platform/passwords.ts';
import { testClock } from '../support/clock.ts';
import { checkLeaks } from '../support/leak-check.ts';
import {
  type Changes,
  type Client,
  connector,
  exact,
  introduced,
  openListener,
  sendMessage,
  type TestListener,
} from './support.ts';

checkLeaks();

const SECRET = 'corr\u00e9ct horse';
const app: UserConfig = {
  name: 'app',
  password: await hashPassword(SECRET),
  senders: [{ localPart: null, domain: exact('example.org') }],
};
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const plain = (name: string, password: string, actsFor = ''): string => base64(`${actsFor}\0${name}\0${password}`);

/** A listener with a user. The check is the real one. */
const open = (changes: Changes = {}): Promise<TestListener> =>
  openListener({
    users: [app],
    checkPassword: openPasswordCheck(),
    ...changes,
    listener: { auth: 'optional', ...changes.listener },
  });

async function secured(relay: TestListener): Promise<Client> {
  const client = await introduced(relay.port);
  await client.command('STARTTLS');
  await client.startTls();
  await client.command('EHLO client.test');
  return client;
}

test('AUTH and REQUIRETLS are offered inside TLS only', async () => {
  const relay = await open();
  const client = await introduced(relay.port);
  assert.doesNotMatch(await client.command('EHLO client.test'), /AUTH|REQUIRETLS/);
  assert.equal(
    await client.command(`AUTH PLAIN ${plain('app', SECRET)}`),
    '538 5.7.11 Encryption is required: issue a STARTTLS command first',
  );
  assert.match(await client.command('MAIL FROM:<a@client.test> REQUIRETLS'), /^530 5\.7\.10 /);
  assert.match(await client.command('MAIL FROM:<a@client.test> AUTH=<>'), /^555 /);
  await client.command('STARTTLS');
  await client.startTls();
  const keywords = await client.command('EHLO client.test');
  assert.match(keywords, /\|250[- ]AUTH PLAIN LOGIN(\||$)/);
  assert.match(keywords, /\|250[- ]REQUIRETLS(\||$)/);
  client.close();
  await relay.listener.close();
});

test('where auth is off there is no AUTH', async () => {
  const relay = await open({ listener: { auth: 'off' } });
  const client = await secured(relay);
  assert.doesNotMatch(await client.command('EHLO client.test'), /AUTH/);
  assert.match(await client.command(`AUTH PLAIN ${plain('app', SECRET)}`), /^502 /);
  client.close();
  await relay.listener.close();
});

const ways: readonly (readonly [what: string, log: (client: Client) => Promise<string>])[] = [
  ['PLAIN in one line', (client) => client.command(`AUTH PLAIN ${plain('app', SECRET)}`)],
  [
    'PLAIN in two lines',
    async (client) => {
      assert.equal(await client.command('auth plain'), '334');
      return client.command(plain('app', SECRET, 'app'));
    },
  ],
  ['PLAIN with decomposed letters', (client) => client.command(`AUTH PLAIN ${plain('app', SECRET.normalize('NFD'))}`)],
  [
    'LOGIN',
    async (client) => {
      assert.equal(await client.command('AUTH LOGIN'), `334 ${base64('Username:')}`);
      assert.equal(await client.command(base64('app')), `334 ${base64('Password:')}`);
      return client.command(base64(SECRET));
    },
  ],
  [
    'LOGIN with the name at once',
    async (client) => {
      assert.equal(await client.command(`AUTH LOGIN ${base64('app')}`), `334 ${base64('Password:')}`);
      return client.command(base64(SECRET));
    },
  ],
];
for (const [what, logIn] of ways) {
  test(`${what}: the user may relay, with its own addresses, and trace and log say so`, async () => {
    const relay = await open();
    const client = await secured(relay);
    assert.equal(await logIn(client), '235 2.7.0 Authentication successful');
    assert.match(await client.command('AUTH PLAIN x'), /^503 5\.5\.1 Already/);
    assert.match(await client.command('MAIL FROM:<x@client.test>'), /^553 5\.7\.1 /);
    assert.match(await client.command('MAIL FROM:<me@example.org> AUTH=<>'), /^250 /);
    assert.match(await client.command('RCPT TO:<someone@far.test>'), /^250 /);
    await client.command('DATA');
    client.send('A: b\r\n\r\nx\r\n.\r\n');
    assert.match(await client.reply(), /^250 /);
    assert.match(relay.stored[0]?.wire.toString() ?? '', /with ESMTPSA\r\n/);
    const origin = relay.stored[0]?.envelope.origin;
    assert.equal(origin?.kind === 'smtp' && origin.user, 'app');
    assert.equal(relay.log.accepted[0]?.user, 'app');
    client.close();
    await relay.listener.close();
    assert.deepEqual(relay.bugs, []);
  });
}

const refusals: readonly (readonly [what: string, lines: readonly string[], want: RegExp])[] = [
  ['a wrong password', [`AUTH PLAIN ${plain('app', 'wrong')}`], /^535 5\.7\.8 /],
  ['an unknown user', [`AUTH PLAIN ${plain('nobody', SECRET)}`], /^535 5\.7\.8 /],
  ['a name in another case', [`AUTH PLAIN ${plain('App', SECRET)}`], /^535 5\.7\.8 /],
  ['to act for another', [`AUTH PLAIN ${plain('app', SECRET, 'boss')}`], /^535 5\.7\.8 /],
  ['no password', [`AUTH PLAIN ${plain('app', '')}`], /^535 5\.7\.8 /],
  ['a password without end', [`AUTH PLAIN ${plain('app', 'x'.repeat(300))}`], /^535 5\.7\.8 /],
  ['no base64', ['AUTH PLAIN @@@@'], /^501 5\.5\.2 /],
  ['octets that are no UTF-8', [`AUTH PLAIN ${Buffer.from([0, 0xff, 0, 0x61]).toString('base64')}`], /^501 5\.5\.2 /],
  ['two parts', [`AUTH PLAIN ${base64('app\0x')}`], /^501 5\.5\.2 /],
  ['to cancel', ['AUTH LOGIN', '*'], /^501 5\.7\.0 /],
  ['a command instead of an answer', ['AUTH LOGIN', 'RSET now'], /^501 5\.5\.2 /],
  ['an unknown mechanism', ['AUTH CRAM-MD5'], /^504 5\.5\.4 /],
  ['no mechanism', ['AUTH'], /^501 5\.5\.4 /],
  ['within a transaction', ['MAIL FROM:<a@client.test>', `AUTH PLAIN ${plain('app', SECRET)}`], /^503 5\.5\.1 /],
];
for (const [what, lines, want] of refusals) {
  test(`AUTH with ${what} -> ${want.source}`, async () => {
    const relay = await open();
    const client = await secured(relay);
    let reply = '';
    for (const line of lines) reply = await client.command(line);
    assert.match(reply, want);
    // The exchange is over, and nobody is logged in.
    await client.command('RSET');
    await client.command('MAIL FROM:<a@client.test>');
    assert.match(await client.command('RCPT TO:<someone@far.test>'), /^550 5\.7\.1 /);
    client.close();
    await relay.listener.close();
    assert.doesNotMatch(JSON.stringify([relay.log, relay.bugs]), /corr|wrong/);
  });
}

test('a listener that requires login takes no mail before', async () => {
  const relay = await open({ listener: { auth: 'required' } });
  const inClear = await introduced(relay.port);
  assert.equal(await inClear.command('MAIL FROM:<a@example.org>'), '530 5.7.0 Must issue a STARTTLS command first');
  inClear.close();
  const client = await secured(relay);
  assert.equal(await client.command('MAIL FROM:<a@example.org>'), '530 5.7.0 Authentication required');
  await client.command(`AUTH PLAIN ${plain('app', SECRET)}`);
  client.send('MAIL FROM:<a@example.org>\r\nRCPT TO:<someone@far.test>\r\n');
  for (const reply of await client.replies(2)) assert.match(reply, /^250 /);
  client.close();
  await relay.listener.close();
});

test('what a client sends behind AUTH waits for the answer', async () => {
  const relay = await open();
  const client = await secured(relay);
  client.send(`AUTH PLAIN ${plain('app', SECRET)}\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<someone@far.test>\r\nNOOP\r\n`);
  assert.deepEqual(
    (await client.replies(4)).map((reply) => reply.slice(0, 3)),
    ['235', '250', '250', '250'],
  );
  client.close();
  await relay.listener.close();
});

test('the third failure ends the session; each is told once, without what was typed', async () => {
  const relay = await open({ checkPassword: async () => false });
  const client = await secured(relay);
  for (const name of ['app', 'hunter2']) assert.match(await client.command(`AUTH PLAIN ${plain(name, 'x')}`), /^535 /);
  assert.equal(await client.command(`AUTH PLAIN ${plain('app', 'x')}`), '421 4.7.0 Too many failed logins, try again later');
  await client.toEnd();
  assert.deepEqual(
    relay.log.logins.map(({ user, mechanism, reply }) => `${user} ${mechanism} ${reply.code}`),
    ['app PLAIN 535', 'null PLAIN 535', 'app PLAIN 421'],
  );
  await relay.listener.close();
});

test('failures count by address, and are forgotten after ten minutes', async () => {
  const clock = testClock();
  const relay = await open({
    clock,
    checkPassword: async (password) => password === 'right',
    patience: { failedLogins: 100, errors: 100 },
  });
  const client = await secured(relay);
  for (let n = 0; n < 20; n += 1) assert.match(await client.command(`AUTH PLAIN ${plain('app', 'wrong')}`), /^535 /);
  client.close();
  const shut = await secured(relay);
  assert.match(await shut.command(`AUTH PLAIN ${plain('app', 'right')}`), /^421 4\.7\.0 /);
  clock.advance(600_000);
  const later = await secured(relay);
  assert.match(await later.command(`AUTH PLAIN ${plain('app', 'right')}`), /^235 /);
  for (const one of [shut, later]) one.close();
  await relay.listener.close();
});

test('an unknown user costs the same check as a known one', async () => {
  const costs: string[] = [];
  const relay = await open({
    checkPassword: async (_password, { logN, r, p, hash }) => {
      costs.push(`${logN} ${r} ${p} ${Buffer.from(hash, 'base64').length}`);
      return false;
    },
  });
  const client = await secured(relay);
  await client.command(`AUTH PLAIN ${plain('app', 'x')}`);
  await client.command(`AUTH PLAIN ${plain('nobody', 'x')}`);
  assert.equal(costs.length, 2);
  assert.equal(costs[0], costs[1]);
  client.close();
  await relay.listener.close();
});

test('nobody logs in as a user that does not exist, even should a hash fit', async () => {
  const relay = await open({ checkPassword: async () => true });
  const client = await secured(relay);
  assert.match(await client.command(`AUTH PLAIN ${plain('nobody', 'x')}`), /^535 /);
  client.close();
  await relay.listener.close();
});

test('too many logins at once are put off; a broken check ends the session and nothing else', async () => {
  const busy = await open({ checkPassword: async () => null });
  const client = await secured(busy);
  assert.match(await client.command(`AUTH PLAIN ${plain('app', 'x')}`), /^454 4\.7\.0 /);
  client.close();
  await busy.listener.close();
  const broken = await open({ checkPassword: () => Promise.reject(new Error('broken')) });
  const victim = await secured(broken);
  assert.match(await victim.command(`AUTH PLAIN ${plain('app', 'x')}`), /^421 4\.3\.0 /);
  assert.equal(broken.bugs.length, 1);
  victim.close();
  await broken.listener.close();
});

test('a client that leaves while its password is checked harms no one', async () => {
  let answer: (matches: boolean) => void = () => undefined;
  const relay = await open({ checkPassword: () => new Promise((resolve) => (answer = resolve)) });
  const client = await secured(relay);
  client.send(`AUTH PLAIN ${plain('app', 'x')}\r\n`);
  while (answer.length === 0) await new Promise((resolve) => setImmediate(resolve));
  client.close();
  answer(true);
  await relay.listener.close();
  assert.deepEqual(relay.bugs, []);
});

test('REQUIRETLS goes with the message and outweighs TLS-Required: No', async () => {
  const relay = await openListener();
  const client = await secured(relay);
  const header = 'Subject: x\r\nTLS-Required:\r\n No\r\n\r\nx\r\n.\r\n';
  for (const parameters of ['', ' REQUIRETLS']) {
    client.send(`MAIL FROM:<a@client.test>${parameters}\r\nRCPT TO:<b@example.org>\r\nDATA\r\n`);
    await client.replies(3);
    client.send(header);
    assert.match(await client.reply(), /^250 /);
  }
  const demands = relay.stored.map(({ envelope: { requireTls, tlsRequiredNo } }) => [requireTls, tlsRequiredNo]);
  assert.deepEqual(demands, [
    [false, true],
    [true, false],
  ]);
  client.close();
  await relay.listener.close();
});

test('a connector in test mode refuses nothing, and every message it would have refused is told once', async () => {
  const inbound = [
    connector('contoso-in', { testMode: true, match: { senderDomains: [exact('client.test')] }, require: { tls: true } }),
  ];
  const relay = await openListener({ inbound });
  const client = await introduced(relay.port);
  for (let n = 0; n < 2; n += 1) assert.match(await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n'), /^250 /);
  assert.deepEqual(
    relay.log.wouldBlock.map(({ connector: name, from, reply }) => `${name} ${from} ${reply.code} ${reply.enhanced}`),
    ['contoso-in a@client.test 530 5.7.10', 'contoso-in a@client.test 530 5.7.10'],
  );
  assert.deepEqual(relay.log.accepted[0]?.connectors, ['contoso-in']);
  client.close();
  await relay.listener.close();
});
