/** A destination that is down is retried, not its messages: few connections however many wait; others do not notice. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver } from '../support/lab/receiver.ts';
import { connectorTo, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { submit } from '../support/submit.ts';
import { type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const COUNT = 60;
/** Connections the default limits allow at a time: so many may be under way when the first fails. */
const AT_ONCE = 20;

const statesOf = async (relay: TempRelay): Promise<readonly string[]> => {
  const { out } = await relay.run('queue', 'list', '--json');
  return (JSON.parse(out) as { entries: { state: string }[] }).entries.map(({ state }) => state);
};
const settled = async (relay: TempRelay, what: (states: readonly string[]) => boolean): Promise<readonly string[]> => {
  for (let tries = 0; tries < 40; tries += 1) {
    const states = await statesOf(relay);
    if (what(states)) return states;
    await sleep(100);
  }
  return statesOf(relay);
};

describe('a dead destination', { concurrency: true }, () => {
  test('many messages to one cost few connections, and nobody else waits', async () => {
    await using receivers = await startReceivers(['null-greeting-close', 'tls13'], 13);
    await using relay = await tempRelay({
      yaml: `acceptedDomains: [dead.test, alive.test]\nworkers: 1\noutbound:
${connectorTo(receivers.of('null-greeting-close'), { domain: 'dead.test' })}
${connectorTo(receivers.of('tls13'), { domain: 'alive.test' })}`,
      queue: 'retry: [1h]',
    });
    await relay.start();
    const mails = Array.from({ length: COUNT }, (_, n) => [{ to: `u${n}@dead.test` }, { to: `u${n}@alive.test` }]).flat();
    await submit(relay, ...mails);
    await receivers.of('tls13').waitForMessages(COUNT);
    await relay.waitForLog('delivery.deferred');
    const states = await settled(relay, (all) => all.every((state) => state === 'queued'));
    assert.deepEqual(states, Array(COUNT).fill('queued'));
    const dialled = receivers.of('null-greeting-close').eventsOf('connection').length;
    assert.ok(dialled <= AT_ONCE, `${dialled} connections for ${COUNT} messages`);
    assert.equal(await relay.kill('SIGTERM'), 0);
  });

  test('many domains behind one dead smarthost: they wait in the queue, not in memory, and all go once it is back', async () => {
    await using dead = await startReceivers(['connection-refused'], 14);
    const { address, port } = dead.of('connection-refused');
    await using relay = await tempRelay({
      yaml: `acceptedDomains: ["*.many.test"]\nworkers: 1\noutbound:
${connectorTo(dead.of('connection-refused'), { domain: '*.many.test' })}`,
      queue: 'retry: [1h]',
    });
    await relay.start();
    await submit(relay, { to: 'first@d0.many.test' });
    await relay.waitForLog('delivery.deferred');
    await submit(relay, ...Array.from({ length: COUNT }, (_, n) => ({ to: `user@d${n + 1}.many.test` })));
    const states = await settled(relay, (all) => all.every((state) => state === 'queued'));
    assert.deepEqual(states, Array(COUNT + 1).fill('queued'), 'nothing is held by a thread while the smarthost is down');
    assert.equal(attempts(relay.log), 1, 'only the first was tried');
    const alive = await startReceiver('tls13', { address, port });
    try {
      const retried = await relay.run('queue', 'retry', '--all');
      assert.equal(retried.code, 0, retried.err);
      assert.equal((await alive.waitForMessages(COUNT + 1)).length, COUNT + 1);
      assert.equal(await relay.kill('SIGTERM'), 0);
    } finally {
      await alive.stop();
    }
  });

  test('queue retry is obeyed at once, though the relay knows the destination is down', async () => {
    await using dead = await startReceivers(['connection-refused'], 15);
    const { address, port } = dead.of('connection-refused');
    await using relay = await tempRelay({
      yaml: `acceptedDomains: [dead.test]\nworkers: 1\noutbound:\n${connectorTo(dead.of('connection-refused'), { domain: 'dead.test' })}`,
      queue: 'retry: [1h]',
    });
    await relay.start();
    await submit(relay, { to: 'user@dead.test' });
    await relay.waitForLog('delivery.deferred');
    const alive = await startReceiver('tls13', { address, port });
    try {
      assert.equal((await relay.run('queue', 'retry', '--domain', 'dead.test')).code, 0);
      await alive.waitForMessages(1);
      assert.equal(await relay.kill('SIGTERM'), 0);
    } finally {
      await alive.stop();
    }
  });
});

const attempts = (log: readonly LogLine[]): number => log.filter(({ event }) => event === 'delivery.deferred').length;
