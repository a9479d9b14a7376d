/**
 * SIGKILL at random moments under load, ten times: what was acknowledged arrives; what arrives twice was in flight.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { countTokens, startSource } from '../support/mail-source.ts';
import { tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const KILLS = 10;
const CONNECTIONS = 10;

test('ten kills under load lose nothing that was acknowledged', async (t) => {
  const receiver = await startReceiver('tls13');
  await using relay = await tempRelay({
    yaml: `acceptedDomains: ["*.test"]
outbound:
  - name: sink
    match: { recipientDomains: ["*"] }
    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }
    limits: { connections: ${CONNECTIONS} }
workers: 1`,
    queue: 'retry: [1s]',
  });
  await relay.start();
  const source = startSource({ port: relay.port, connections: 8, to: (token) => `${token}@d${token.length}.test` });
  for (let kill = 0; kill < KILLS; kill += 1) {
    await sleep(200 + Math.random() * 600);
    await relay.kill('SIGKILL');
    await relay.start();
  }
  await source.stop();
  const { acknowledged, inDoubt } = source.ledger;
  const arrived = () => countTokens(receiver.messages().map(({ content }) => content));
  const missing = () => [...acknowledged].filter((token) => !arrived().has(token));
  for (let wait = 0; missing().length > 0 && wait < 100; wait += 1) await sleep(200);
  assert.deepEqual(missing(), [], relay.output().slice(-4000));
  const known = new Set([...acknowledged, ...inDoubt]);
  const phantoms = [...arrived().keys()].filter((token) => !known.has(token));
  assert.deepEqual(phantoms, []);
  const duplicates = [...arrived().values()].reduce((sum, count) => sum + count - 1, 0);
  t.diagnostic(`${acknowledged.size} acknowledged, ${inDoubt.size} in doubt, ${duplicates} duplicates`);
  assert.ok(acknowledged.size > 100, 'there was load');
  assert.ok(duplicates <= KILLS * CONNECTIONS, `${duplicates} duplicates`);
  await relay.kill('SIGTERM');
  await receiver.stop();
});
