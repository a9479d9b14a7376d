/** Who may send what to whom, through the real process: never an open relay, connectors by address and sender, sizes, a full disk. */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectClient } from '../support/scripted-client.ts';
import { hand, openSession, submit } from '../support/submit.ts';
import { type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const OFFICE = '127.0.0.9';
/** A partner's only address. */
const PARTNER = '127.0.0.10';
const MIB = 1024 * 1024;

describe('inbound policy', { concurrency: true }, () => {
  let receivers: Receivers<'tls13'>;
  let relay: TempRelay;
  before(async () => {
    receivers = await startReceivers(['tls13'], 24);
    relay = await tempRelay({
      yaml: `acceptedDomains: [ours.test, "*.ours.test"]
workers: 1
limits: { messageSize: 1MiB, recipientsPerMessage: 3 }
inbound:
  - { name: office, type: organization, match: { addresses: [${OFFICE}] } }
  - { name: secure-partner, type: partner, match: { senderDomains: [secure.test] }, require: { tls: true } }
  - { name: fixed-partner, type: partner, match: { senderDomains: [fixed.test] }, require: { addresses: [${PARTNER}] } }
outbound:
  - name: all
    route: { kind: smarthost, hosts: ["[${receivers.of('tls13').address}]:${receivers.of('tls13').port}"] }`,
    });
    await relay.start();
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    await relay[Symbol.asyncDispose]();
    await receivers.stop();
    assert.equal(code, 0, relay.output());
  });

  test('mail for others is refused on any spelling, and nothing of it is queued', async () => {
    const client = await openSession(relay);
    await client.command('MAIL FROM:<anyone@ours.test>', 250);
    const foreign = [
      '<user@elsewhere.test>',
      '<user@ours.test.elsewhere.test>',
      '<user@notours.test>',
      '<@ours.test:user@elsewhere.test>',
      '<"user@ours.test"@elsewhere.test>',
      '<elsewhere.test!user@elsewhere.test>',
      '<user@[127.0.0.1]>',
      '<user@[IPv6:::1]>',
      '<user@ELSEWHERE.test.>',
    ];
    for (const path of foreign) {
      const reply = await client.command(`RCPT TO:${path}`, 5);
      assert.ok([550, 501, 553].includes(reply.code), `${path}: ${reply.lines.join()}`);
    }
    await client.command('DATA', 5);
    client.destroy();
  });

  test('our own spellings are taken; percent hacks go no further than us', async () => {
    const client = await openSession(relay);
    await client.command('MAIL FROM:<anyone@elsewhere.test>', 250);
    await client.command('RCPT TO:<User@OURS.test>', 250);
    await client.command('RCPT TO:<user@deep.ours.test>', 250);
    await client.command('RCPT TO:<victim%elsewhere.test@ours.test>', 250);
    await client.command('RCPT TO:<one.too.many@ours.test>', 452);
    await client.command('DATA', 354);
    client.raw('Subject: hack\r\n\r\n.\r\n');
    await client.expect(250);
    await client.quit();
    const ours = (): readonly string[] =>
      receivers
        .of('tls13')
        .messages()
        .filter(({ content }) => content.includes('Subject: hack'))
        .flatMap(({ recipients }) => recipients);
    for (let wait = 0; wait < 500 && ours().length < 3; wait += 1) await sleep(20);
    assert.deepEqual([...ours()].sort(), ['<User@ours.test>', '<user@deep.ours.test>', '<victim%elsewhere.test@ours.test>']);
  });

  test('an organization relays to anywhere, by its address and by nothing else', async () => {
    const office = await openSession(relay, OFFICE);
    const id = await hand(office, { to: 'anyone@elsewhere.test', from: 'boss@ours.test' });
    await office.quit();
    const accepted = relay.log.find((line) => line.event === 'message.accepted' && line['queueId'] === id);
    assert.deepEqual(accepted?.['connectors'], ['office']);
    const outsider = await openSession(relay);
    await outsider.command('MAIL FROM:<boss@ours.test>', 250);
    const reply = await outsider.command('RCPT TO:<anyone@elsewhere.test>', 550);
    assert.match(reply.lines[0] ?? '', /5\.7\.1 Relaying denied/);
    outsider.destroy();
    await relay.waitForLog('message.rejected');
  });

  test('a partner that must use TLS: 530 5.7.10 in the clear, taken inside TLS', async () => {
    const client = await openSession(relay);
    const refused = await client.command('MAIL FROM:<user@secure.test>', 530);
    assert.match(refused.lines[0] ?? '', /^530 5\.7\.10 /);
    assert.doesNotMatch(refused.lines[0] ?? '', /secure-partner/, 'the connector is nobody else’s business');
    await client.startTls();
    await client.ehlo();
    const id = await hand(client, { from: 'user@secure.test', to: 'user@ours.test' });
    await client.quit();
    const accepted = relay.log.find((line) => line.event === 'message.accepted' && line['queueId'] === id);
    assert.deepEqual(accepted?.['connectors'], ['secure-partner']);
    assert.notEqual(accepted?.['tls'], null);
  });

  test('a partner with a fixed address: others who call themselves that are refused', async () => {
    const impostor = await openSession(relay);
    const refused = await impostor.command('MAIL FROM:<user@fixed.test>', 550);
    assert.match(refused.lines[0] ?? '', /^550 5\.7\.51 /);
    impostor.destroy();
    const partner = await openSession(relay, PARTNER);
    await hand(partner, { from: 'user@fixed.test', to: 'user@ours.test' });
    await partner.command('MAIL FROM:<user@fixed.test>', 250);
    await partner.command('RCPT TO:<anyone@elsewhere.test>', 550);
    partner.destroy();
  });

  test('too large: told at MAIL by SIZE, else after the message; the session goes on', async () => {
    const client = await openSession(relay);
    const extensions = await client.ehlo();
    assert.equal(extensions.get('SIZE'), String(MIB));
    const declared = await client.command(`MAIL FROM:<a@elsewhere.test> SIZE=${MIB + 1}`, 552);
    assert.match(declared.lines[0] ?? '', /5\.3\.4/);
    await client.command('MAIL FROM:<a@elsewhere.test>', 250);
    await client.command('RCPT TO:<user@ours.test>', 250);
    await client.command('DATA', 354);
    client.raw(`Subject: large\r\n\r\n${'x'.repeat(98)}\r\n`.repeat(12_000));
    client.raw('.\r\n');
    const large = await client.expect(552, 30_000);
    assert.match(large.lines[0] ?? '', /5\.3\.4/);
    await hand(client, { to: 'user@ours.test', from: 'a@elsewhere.test' });
    await client.quit();
  });

  test('low disk: 452 4.3.1 at MAIL, readiness says so, what is inside stays', async () => {
    await using low = await tempRelay({ yaml: 'acceptedDomains: [ours.test]\nworkers: 1\nlimits: { diskFree: 1000GiB }' });
    await low.start();
    const client = await openSession(low);
    const reply = await client.command('MAIL FROM:<a@elsewhere.test>', 452);
    assert.match(reply.lines[0] ?? '', /^452 4\.3\.1 /);
    await client.quit();
    const { code, out } = await low.run('status');
    assert.equal(code, 1);
    assert.match(out, /NOT READY: .*diskFree/);
    assert.equal(await low.kill('SIGTERM'), 0);
  });

  test('a listener that requires TLS: 530 5.7.0 for everyone before STARTTLS', async () => {
    await using strict = await tempRelay({
      yaml: 'acceptedDomains: [ours.test]\nworkers: 1',
      listener: 'tls: starttls\nrequireTls: true',
    });
    await strict.start();
    await assert.rejects(submit(strict, { to: 'user@ours.test' }), /530 5\.7\.0/);
    const client = await connectClient({ address: '127.0.0.1', port: strict.port });
    await client.expect(220);
    await client.ehlo();
    await client.startTls();
    await client.ehlo();
    await client.command('MAIL FROM:<a@elsewhere.test>', 250);
    client.destroy();
    assert.equal(await strict.kill('SIGTERM'), 0);
  });
});
