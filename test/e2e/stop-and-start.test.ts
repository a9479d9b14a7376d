/** Stopping and starting as operators do it: nothing lost, nothing twice, and a message that says why where it cannot be. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver } from '../support/lab/receiver.ts';
import { connectorTo, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { countTokens, startSource } from '../support/mail-source.ts';
import { connectClient } from '../support/scripted-client.ts';
import { openSession, submit } from '../support/submit.ts';
import { freePort, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const until = async (what: () => boolean, patience = 20_000): Promise<void> => {
  for (const end = performance.now() + patience; !what() && performance.now() < end; ) await sleep(20);
};

describe('stop and start', { concurrency: true }, () => {
  test('SIGTERM under load: exit 0, nothing lost, nothing twice', async () => {
    await using receivers = await startReceivers(['tls13'], 10);
    await using relay = await tempRelay({
      yaml: `acceptedDomains: [load.test]\nworkers: 2\noutbound:\n${connectorTo(receivers.of('tls13'), { domain: 'load.test' })}`,
    });
    await relay.start();
    const source = startSource({ port: relay.port, connections: 6, to: (token) => `${token}@load.test`, startTls: true });
    for (let stop = 0; stop < 2; stop += 1) {
      const before = source.ledger.acknowledged.size;
      await until(() => source.ledger.acknowledged.size > before + 50);
      assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
      await relay.start();
    }
    await source.stop();
    const { acknowledged, inDoubt } = source.ledger;
    const arrived = (): ReadonlyMap<string, number> =>
      countTokens(
        receivers
          .of('tls13')
          .messages()
          .map(({ content }) => content),
      );
    const missing = (): readonly string[] => [...acknowledged].filter((token) => !arrived().has(token));
    await until(() => missing().length === 0);
    assert.deepEqual(missing(), []);
    assert.deepEqual([...inDoubt], [], 'every session in DATA got its reply');
    assert.deepEqual(
      [...arrived()].filter(([, count]) => count > 1),
      [],
      'nothing twice',
    );
    assert.equal(await relay.kill('SIGTERM'), 0);
    assert.match(String(relay.log.findLast(({ event }) => event === 'relay.stopped')?.['text']), /nothing is lost/);
  });

  test('a session in DATA gets its reply; idle ones 421; new ones nobody', async () => {
    await using receivers = await startReceivers(['tls13'], 11);
    await using relay = await tempRelay({
      yaml: `acceptedDomains: [load.test]\noutbound:\n${connectorTo(receivers.of('tls13'), { domain: 'load.test' })}`,
    });
    await relay.start();
    const [busy, idle] = [await openSession(relay), await openSession(relay)];
    await busy.command('MAIL FROM:<a@sender.test>', 250);
    await busy.command('RCPT TO:<b@load.test>', 250);
    await busy.command('DATA', 354);
    busy.raw('Subject: half\r\n\r\n');
    const ended = relay.kill('SIGTERM');
    await idle.expect(421);
    await idle.expectClose();
    await assert.rejects(connectClient({ address: '127.0.0.1', port: relay.port }), { code: 'ECONNREFUSED' });
    busy.raw('the other half\r\n.\r\n');
    await busy.expect(250);
    assert.equal(await ended, 0, relay.output());
    busy.destroy();
    idle.destroy();
    // Whether it still went out before the end is a race; the next start knows of it otherwise.
    await relay.start();
    const [message] = await receivers.of('tls13').waitForMessages(1);
    assert.match(message?.content.toString() ?? '', /the other half/);
    assert.equal(await relay.kill('SIGTERM'), 0);
    assert.equal(receivers.of('tls13').messages().length, 1);
  });

  test('a second relay on the same queue is refused, and the first goes on', async () => {
    await using relay = await tempRelay({ yaml: 'acceptedDomains: [load.test]\nworkers: 1' });
    await relay.start();
    const other = `${relay.configFile}.other.yaml`;
    const [port, adminPort] = [await freePort(), await freePort()];
    const text = readFileSync(relay.configFile, 'utf8')
      .replaceAll(`:${relay.port}`, `:${port}`)
      .replaceAll(`:${relay.adminPort}`, `:${adminPort}`);
    writeFileSync(other, text);
    const second = await serve(other);
    assert.equal(second.code, 1, second.out);
    assert.match(second.out, /"event":"relay\.failed".*queue\.db.*(another|in use|already)/i);
    const [id] = await submit(relay, { to: 'user@load.test' });
    assert.ok(id);
    await relay.kill('SIGTERM');
  });

  test('a port in use is said in plain words', async () => {
    await using relay = await tempRelay({ yaml: 'acceptedDomains: [load.test]\nworkers: 1' });
    const squatter = await startReceiver('tls13', { port: relay.port });
    const second = await serve(relay.configFile);
    await squatter.stop();
    assert.equal(second.code, 1, second.out);
    assert.match(second.out, new RegExp(`127\\.0\\.0\\.1:${relay.port}.*another program listens there`));
  });

  test('what waits for a dead server is delivered after a restart, once that is back', async () => {
    await using dead = await startReceivers(['connection-refused'], 12);
    const { address, port } = dead.of('connection-refused');
    await using relay = await tempRelay({
      yaml: `acceptedDomains: [load.test]\nworkers: 1\noutbound:\n${connectorTo(dead.of('connection-refused'), { domain: 'load.test' })}`,
      queue: 'retry: [1s]',
    });
    await relay.start();
    await submit(relay, ...Array.from({ length: 20 }, (_, n) => ({ to: `user${n}@load.test` })));
    const [line] = await relay.waitForLog('delivery.deferred');
    assert.equal(line?.['status'], '4.4.1');
    assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
    const alive = await startReceiver('tls13', { address, port });
    try {
      await relay.start();
      const messages = await alive.waitForMessages(20, 20_000);
      assert.equal(new Set(messages.map(({ recipients }) => recipients[0])).size, 20);
      assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
      assert.equal(alive.messages().length, 20);
    } finally {
      await alive.stop();
    }
  });
});

/** Runs `postern serve` to its end. */
async function serve(config: string): Promise<{ readonly code: number | null; readonly out: string }> {
  const main = new URL('../../src/main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [main, 'serve', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await once(child, 'close');
  clearTimeout(timer);
  return { code: child.exitCode, out };
}
