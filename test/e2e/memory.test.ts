/** Memory is bounded whatever the size: a 50 MiB message within 60 MiB of idle, a hundred of 10 MiB within 300 MiB. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Receiver, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectClient } from '../support/scripted-client.ts';
import { type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();
const MIB = 1024 * 1024;
const LINE = Buffer.from(`${'0123456789abcdef'.repeat(4)}0123456789\r\n`);

/** Resident bytes of a process: now, or the most since `resetPeak`. */
const resident = (pid: number, field: 'VmRSS' | 'VmHWM'): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

async function send(relay: TempRelay, bytes: number): Promise<string> {
  const client = await connectClient({ address: '127.0.0.1', port: relay.port });
  await client.expect(220);
  await client.ehlo();
  await client.startTls();
  await client.ehlo();
  await client.command('MAIL FROM:<a@sender.test>', 250);
  await client.command('RCPT TO:<b@accepted.test>', 250);
  await client.command('DATA', 354);
  const hash = createHash('sha256');
  const block = Buffer.concat(Array.from({ length: 1000 }, () => LINE));
  const write = async (part: Buffer): Promise<void> => {
    hash.update(part);
    if (!client.socket().write(part)) await new Promise((resolve) => client.socket().once('drain', resolve));
  };
  await write(Buffer.from('Subject: large\r\n\r\n'));
  for (let sent = 0; sent < bytes; sent += block.length) await write(block);
  client.raw('.\r\n');
  await client.expect(250, 120_000);
  await client.quit();
  return hash.digest('hex');
}

const hashOfBody = (receiver: Receiver): readonly string[] =>
  receiver.messages().map(({ content }) =>
    createHash('sha256')
      .update(content.subarray(content.indexOf('Subject: large')))
      .digest('hex'),
  );

async function measure(
  count: number,
  bytes: number,
): Promise<{ readonly grown: number; readonly sent: readonly string[]; readonly arrived: readonly string[] }> {
  const receiver = await startReceiver('tls13', { keepOctets: count === 1 ? bytes * 2 : 0 });
  await using relay = await tempRelay({
    yaml: `acceptedDomains: [accepted.test]
workers: 1
limits: { messageSize: 64MiB, connectionsPerAddress: 200, diskFree: 64MiB }
outbound:
  - name: sink
    match: { recipientDomains: ["*"] }
    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }`,
  });
  await relay.start();
  await send(relay, 1000);
  await receiver.waitForMessages(1);
  const idle = resident(relay.pid(), 'VmRSS');
  const sent = await Promise.all(Array.from({ length: count }, () => send(relay, bytes)));
  await receiver.waitForMessages(count + 1, 120_000);
  const grown = resident(relay.pid(), 'VmHWM') - idle;
  const arrived = hashOfBody(receiver).slice(1);
  await relay.kill('SIGTERM');
  await receiver.stop();
  return { grown, sent, arrived };
}

test('a 50 MiB message', async (t) => {
  const { grown, sent, arrived } = await measure(1, 49 * MIB);
  t.diagnostic(`${(grown / MIB).toFixed(1)} MiB above idle`);
  assert.deepEqual(arrived, sent, 'byte for byte');
  assert.ok(grown < 60 * MIB, `${(grown / MIB).toFixed(1)} MiB above idle`);
});

test('a hundred 10 MiB messages at once', async (t) => {
  const { grown, arrived } = await measure(100, 10 * MIB);
  t.diagnostic(`${(grown / MIB).toFixed(1)} MiB above idle`);
  assert.equal(arrived.length, 100);
  assert.ok(grown < 300 * MIB, `${(grown / MIB).toFixed(1)} MiB above idle`);
});
