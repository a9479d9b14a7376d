/** A real Postfix before and behind the relay, over STARTTLS; swaks as the user. */
import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startPostfix } from '../support/postfix.ts';
import { connectClient } from '../support/scripted-client.ts';
import { tempRelay, tlsOf } from '../support/temp-relay.ts';

checkLeaks();
const run = promisify(execFile);

const smarthost = (
  to: { readonly address: string; readonly port: number },
  mode = 'encrypt',
): string => `acceptedDomains: [accepted.test]
workers: 1
outbound:
  - name: next
    match: { recipientDomains: ["*"] }
    route: { kind: smarthost, hosts: ["[${to.address}]:${to.port}"] }
    tls: { mode: ${mode} }`;

test('swaks over STARTTLS to the relay, over STARTTLS to Postfix: log and Received tell version, cipher and group', async () => {
  const receiver = await startReceiver('tls13');
  await using postfix = await startPostfix({ relayTo: receiver });
  await using relay = await tempRelay({ yaml: smarthost({ address: '127.0.0.1', port: postfix.port }) });
  await relay.start();
  const { stdout } = await run('swaks', [
    '--server',
    `127.0.0.1:${relay.port}`,
    '--tls',
    '--from',
    'swaks@sender.test',
    '--to',
    'user@accepted.test',
    '--header',
    'Subject: interop',
  ]);
  assert.match(stdout, /TLS started with cipher TLSv1\.3/);
  const [accepted] = await relay.waitForLog('message.accepted');
  assert.equal(tlsOf(accepted).version, 'TLSv1.3');
  const [delivered] = await relay.waitForLog('delivery.delivered');
  const tls = tlsOf(delivered);
  assert.deepEqual([tls.version, tls.cipher, tls.group], ['TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'X25519']);
  const [message] = await receiver.waitForMessages(1);
  const content = message?.content.toString() ?? '';
  const [, ours = ''] = content.split(/^Received: /m).slice(1);
  assert.match(ours, /by relay\.test .*with ESMTPS/s);
  assert.match(ours, /TLSv1\.3/);
  assert.match(ours, /TLS_AES_256_GCM_SHA384/);
  assert.match(content, /using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 .*\n?\s*key-exchange X25519/);
  await relay.kill('SIGTERM');
  await receiver.stop();
});

test('Postfix hands mail to the relay over STARTTLS and keeps the session for several messages', async () => {
  const receiver = await startReceiver('tls13');
  await using relay = await tempRelay({ yaml: smarthost(receiver) });
  await relay.start();
  await using postfix = await startPostfix({
    relayTo: { address: '127.0.0.1', port: relay.port },
    settings: ['smtp_tls_security_level = encrypt', 'smtp_tls_connection_reuse = no'],
  });
  const client = await connectClient({ address: '127.0.0.1', port: postfix.port });
  await client.expect(220);
  await client.ehlo();
  for (let n = 0; n < 5; n += 1) {
    const reply = await client.send({
      from: 'a@sender.test',
      to: ['user@accepted.test'],
      content: `Subject: ${n}\r\n\r\n${'.'.repeat(3)}line\r\n`,
    });
    assert.equal(reply?.code, 250);
  }
  await client.quit();
  const messages = await receiver.waitForMessages(5, 30_000);
  assert.deepEqual(messages.map(({ content }) => /^Subject: (\d)/m.exec(content.toString())?.[1]).sort(), [
    '0',
    '1',
    '2',
    '3',
    '4',
  ]);
  assert.match(postfix.log(), /Untrusted TLS connection established to 127\.0\.0\.1.*TLSv1\.3/);
  const accepted = await relay.waitForLog('message.accepted', 5);
  for (const line of accepted) assert.equal(tlsOf(line).version, 'TLSv1.3');
  await relay.kill('SIGTERM');
  await receiver.stop();
});
