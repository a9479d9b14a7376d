/** A changed configuration or certificate is taken while the relay runs; a broken one leaves the old active and says where it is wrong. */
import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAuthority, writeCertificate } from '../support/certificates.ts';
import { startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { countTokens, startSource } from '../support/mail-source.ts';
import { connectClient } from '../support/scripted-client.ts';
import { freePort, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const connectorTo = (
  receiver: { readonly address: string; readonly port: number },
  more = '',
): string => `acceptedDomains: [accepted.test]
workers: 1
outbound:
  - name: next
    match: { recipientDomains: ["*"] }
    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }
${more}`;

/** Rewrites the file by `change` and waits until the relay has said what it made of it. */
async function rewrite(
  relay: TempRelay,
  event: 'config.loaded' | 'config.rejected',
  change: (text: string) => string,
): Promise<string> {
  const before = relay.log.filter((line) => line.event === event).length;
  writeFileSync(relay.configFile, change(readFileSync(relay.configFile, 'utf8')));
  const lines = await relay.waitForLog(event, before + 1);
  return lines
    .slice(before)
    .map((line) => String(line['text']))
    .join('\n');
}

async function send(relay: TempRelay): Promise<number> {
  const client = await connectClient({ address: '127.0.0.1', port: relay.port });
  await client.expect(220);
  await client.ehlo();
  const reply = await client.send({ from: 'a@sender.test', to: ['user@accepted.test'], content: 'Subject: x\r\n\r\nx\r\n' });
  await client.quit();
  return reply?.code ?? 0;
}

test('a new route is taken, a broken file is not', async () => {
  const [first, second] = [await startReceiver('tls13'), await startReceiver('tls13')];
  await using relay = await tempRelay({ yaml: connectorTo(first) });
  await relay.start();
  assert.equal(await send(relay), 250);
  await first.waitForMessages(1);
  const problem = await rewrite(relay, 'config.rejected', (text) => text.replace('kind: smarthost', 'kind: smarthots'));
  assert.match(problem, /postern\.yaml:\d+:\d+: outbound\[0\]\.route/);
  assert.equal(await send(relay), 250);
  await first.waitForMessages(2);
  await rewrite(relay, 'config.loaded', (text) =>
    text
      .replace('kind: smarthots', 'kind: smarthost')
      .replace(`[${first.address}]:${first.port}`, `[${second.address}]:${second.port}`),
  );
  assert.equal(await send(relay), 250);
  await second.waitForMessages(1);
  assert.equal(first.messages().length, 2);
  assert.equal(await relay.kill('SIGTERM'), 0);
  await Promise.all([first.stop(), second.stop()]);
});

test('what needs a restart is refused', async () => {
  const receiver = await startReceiver('tls13');
  await using relay = await tempRelay({ yaml: connectorTo(receiver) });
  await relay.start();
  assert.match(
    await rewrite(relay, 'config.rejected', (text) => text.replace('workers: 1', 'workers: 2')),
    /workers cannot change while the relay runs/,
  );
  await relay.kill('SIGTERM');
  await receiver.stop();
});

test('a listener comes and goes; sessions of the old one finish', async () => {
  const receiver = await startReceiver('tls13');
  await using relay = await tempRelay({ yaml: connectorTo(receiver) });
  await relay.start();
  const port = await freePort();
  const old = await connectClient({ address: '127.0.0.1', port: relay.port });
  await old.expect(220);
  await rewrite(relay, 'config.loaded', (text) => text.replace(`127.0.0.1:${relay.port}`, `127.0.0.1:${port}`));
  for (let tries = 0; ; tries += 1) {
    const opened = await connectClient({ address: '127.0.0.1', port }).catch(() => null);
    if (opened !== null) {
      await opened.expect(220);
      await opened.quit();
      break;
    }
    assert.ok(tries < 100, 'the new listener never opened');
    await sleep(50);
  }
  old.destroy();
  await relay.kill('SIGTERM');
  await receiver.stop();
});

test('a renewed certificate is served without a restart; one that does not fit its key is not', async () => {
  const receiver = await startReceiver('tls13');
  const authority = createAuthority('Reload');
  await using relay = await tempRelay({ yaml: `${connectorTo(receiver)}\ncertificates: [{ cert: own.pem, key: own.key }]` });
  writeCertificate(relay.folder, 'own', authority.issue({ names: ['relay.test'], commonName: 'first' }));
  await relay.start();
  const served = async (): Promise<string> => {
    const client = await connectClient({ address: '127.0.0.1', port: relay.port });
    await client.expect(220);
    await client.ehlo();
    const socket = await client.startTls();
    const subject = String(socket.getPeerCertificate().subject.CN);
    client.destroy();
    return subject;
  };
  assert.equal(await served(), 'first');
  writeFileSync(join(relay.folder, 'own.pem'), authority.issue({ names: ['relay.test'], commonName: 'stranger' }).cert);
  await relay.waitForLog('config.rejected');
  assert.equal(await served(), 'first');
  writeCertificate(relay.folder, 'own', authority.issue({ names: ['relay.test'], commonName: 'second' }));
  await relay.waitForLog('config.loaded', 2);
  for (let tries = 0; (await served()) !== 'second'; tries += 1) {
    assert.ok(tries < 100);
    await sleep(50);
  }
  await relay.kill('SIGTERM');
  await receiver.stop();
});

test('fifty reloads under load: no session is dropped, every message arrives once', async () => {
  const receiver = await startReceiver('tls13');
  await using relay = await tempRelay({ yaml: connectorTo(receiver, '    tls: { mode: encrypt }') });
  await relay.start();
  const source = startSource({ port: relay.port, connections: 4, to: (token) => `${token}@accepted.test` });
  for (let n = 1; n <= 50; n += 1) {
    relay.signal('SIGHUP');
    await relay.waitForLog('config.loaded', n + 1);
  }
  await source.stop();
  const { acknowledged, inDoubt } = source.ledger;
  assert.equal(inDoubt.size, 0);
  await receiver.waitForMessages(acknowledged.size, 30_000);
  const counts = countTokens(receiver.messages().map(({ content }) => content));
  assert.deepEqual(
    [...acknowledged].filter((token) => counts.get(token) !== 1),
    [],
  );
  await relay.kill('SIGTERM');
  await receiver.stop();
});
