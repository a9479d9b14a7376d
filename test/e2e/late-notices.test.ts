/** Delay notices and expiry come on time, though the destination is down and nothing is tried. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { connectorTo, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { submit } from '../support/submit.ts';
import { tempRelay } from '../support/temp-relay.ts';

checkLeaks();

test('a delay notice, then the bounce, between two tries of a dead smarthost an hour apart', async () => {
  await using receivers = await startReceivers(['connection-refused', 'tls13'], 15);
  await using relay = await tempRelay({
    yaml: `acceptedDomains: [dead.test]\nworkers: 1\noutbound:
${connectorTo(receivers.of('connection-refused'), { domain: 'dead.test' })}
${connectorTo(receivers.of('tls13'), { domain: 'sender.test' })}`,
    queue: 'retry: [1h]\ndelayNoticeAfter: 2s\nexpireAfter: 4s',
  });
  await relay.start();
  await submit(relay, { from: 'alice@sender.test', to: 'user@dead.test' });
  const notices = await receivers.of('tls13').waitForMessages(2, 20_000);
  const actions = notices.map(({ content }) => /^Action: (\w+)/m.exec(content.toString())?.[1]);
  assert.deepEqual(actions, ['delayed', 'failed']);
  const told = relay.log.filter(({ event }) => event === 'delivery.deferred' || event === 'delivery.expired');
  assert.deepEqual(
    told.map(({ event, attempt, ip }) => [event, attempt, ip]),
    ['delivery.deferred', 'delivery.deferred', 'delivery.expired'].map((event) => [
      event,
      1,
      receivers.of('connection-refused').address,
    ]),
  );
  assert.equal(await relay.kill('SIGTERM'), 0);
});
