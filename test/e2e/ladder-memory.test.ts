/** What the relay remembers of a host's TLS, over a restart too; and that hosts of equal preference are all asked for TLS before any goes without. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import { startDnsServer } from '../support/dns-server.ts';
import { connectorTo, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { SECRET, submit } from '../support/submit.ts';
import { freePort, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

describe('memory and equal hosts', { concurrency: true }, () => {
  test('the rung that worked is where the relay begins after a restart', async () => {
    await using receivers = await startReceivers(['rsa-kx-only', 'tls10-only'], 3);
    const connectors = receivers.all.map((receiver) => connectorTo(receiver));
    await using relay = await tempRelay({
      yaml: `acceptedDomains: ["*.lab.test"]\nworkers: 1\noutbound:\n${connectors.join('\n')}`,
    });
    const mails = receivers.all.map(({ hostname }) => ({ to: `user@${hostname}` }));
    const connections = (): readonly number[] => receivers.all.map(({ events }) => count(events, 'connection'));
    await relay.start();
    await submit(relay, ...mails);
    await relay.waitForLog('delivery.delivered', 2);
    assert.deepEqual(connections(), [3, 4]);
    assert.equal(await relay.kill('SIGTERM'), 0);
    await relay.start();
    await submit(relay, ...mails);
    const delivered = await relay.waitForLog('delivery.delivered', 4);
    assert.deepEqual(connections(), [4, 5], relay.output());
    assert.deepEqual(delivered.map(({ rung }) => rung).sort(), ['legacy', 'legacy', 'plaintext', 'plaintext']);
    await relay.kill('SIGTERM');
  });

  test('of two equal hosts the one that speaks TLS gets the mail, and the other nothing in the clear', async () => {
    const port = await freePort();
    await using receivers = await startReceivers(['handshake-alert', 'tls13'], 4, { port });
    await using names = await startDnsServer({
      ...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`d${n}.test`, EQUAL])),
      'mx1.test': { a: ['127.1.4.1'] },
      'mx2.test': { a: ['127.1.4.2'] },
    });
    await using relay = await tempRelay({ yaml: viaMx(names.port, port) });
    await relay.start();
    await submit(relay, ...Array.from({ length: 8 }, (_, n) => ({ to: `user@d${n}.test` })));
    const delivered = await relay.waitForLog('delivery.delivered', 8);
    assert.deepEqual(new Set(delivered.map(({ mx, rung }) => `${mx} ${rung}`)), new Set(['mx2.test modern']));
    const deaf = receivers.of('handshake-alert');
    assert.equal(deaf.seenMessages().length, 0);
    assert.doesNotMatch(deaf.clearText(), /MAIL|SECRET/);
    await relay.kill('SIGTERM');
  });

  test('plaintext follows only after both equal hosts failed on every rung', async () => {
    const port = await freePort();
    await using receivers = await startReceivers(['handshake-alert', 'close-after-220'], 5, { port });
    await using names = await startDnsServer({
      'd0.test': EQUAL,
      'mx1.test': { a: ['127.1.5.1'] },
      'mx2.test': { a: ['127.1.5.2'] },
    });
    await using relay = await tempRelay({ yaml: viaMx(names.port, port) });
    await relay.start();
    await submit(relay, { to: 'user@d0.test' });
    const [line] = await relay.waitForLog('delivery.delivered');
    assert.deepEqual([line?.['rung'], line?.['tls']], ['plaintext', null]);
    const steps = relay.log.filter(({ event }) => event === 'tls.fallback');
    assert.deepEqual(steps.map(({ mx, leftRung }) => `${mx} ${leftRung}`).sort(), [
      ...['compatible', 'legacy', 'modern'].map((rung) => `mx1.test ${rung}`),
      ...['compatible', 'legacy', 'modern'].map((rung) => `mx2.test ${rung}`),
    ]);
    const facts = receivers.all.flatMap(({ events }) => events).toSorted((a, b) => a.at - b.at);
    assert.equal(facts.filter(({ event }) => event === 'starttls').length, 6);
    const [mail] = facts.filter(({ event }) => event === 'mail');
    assert.ok(facts.filter(({ event }) => event === 'starttls').every(({ at }) => mail !== undefined && at <= mail.at));
    const clear = receivers.all.filter((receiver) => receiver.clearText().includes(SECRET));
    assert.equal(clear.length, 1, 'once, to one of them');
    await relay.kill('SIGTERM');
  });
});

const EQUAL = {
  mx: [
    [10, 'mx1.test'],
    [10, 'mx2.test'],
  ],
} as const;

const viaMx = (
  dnsPort: number,
  port: number,
): string => `acceptedDomains: [d0.test, d1.test, d2.test, d3.test, d4.test, d5.test, d6.test, d7.test]
workers: 1
resolver: { servers: ["127.0.0.1:${dnsPort}"] }
delivery: { port: ${port}, allowPrivateAddresses: true }
outbound:
  - name: all
    match: { recipientDomains: ["*"] }
    route: { kind: mx }
    limits: { messagesPerConnection: 1 }`;

const count = (events: readonly { readonly event: string }[], event: string): number =>
  events.filter((fact) => fact.event === event).length;
