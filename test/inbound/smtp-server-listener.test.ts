/**
 * The happy default over real sockets.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { greeted, introduced, openListener, sendMessage } from './support.ts';

checkLeaks();

test('a message is stored as it came on the wire, behind our trace field, and acknowledged', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  const reply = await sendMessage(client, 'Subject: hi\r\n\r\n..dot\r\nend\r\n.\r\n');
  assert.equal(reply, '250 2.0.0 Ok: queued as q1');
  const [message] = relay.stored;
  assert.match(
    message?.wire.toString() ?? '',
    /^Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby relay\.test \(Postern\) with ESMTP\r\n\tid q1\r\n\tfor <b@example\.org>;\r\n\tThu, 01 Jan 2026 00:00:00 \+0000\r\nSubject: hi\r\n\r\n\.\.dot\r\nend\r\n$/,
  );
  assert.equal(message?.envelope.sizeBytes, 'Subject: hi\r\n\r\n.dot\r\nend\r\n'.length);
  assert.equal(relay.offered.length, 1);
  client.close();
  await relay.listener.close();
});

test('over STARTTLS the trace field tells version, cipher and group', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  assert.match(await client.command('STARTTLS'), /^220 /);
  await client.startTls({ ecdhCurve: 'X25519' });
  const ehlo = await client.command('EHLO client.test');
  assert.doesNotMatch(ehlo, /STARTTLS/);
  await sendMessage(client, 'Subject: hi\r\n\r\nx\r\n.\r\n');
  const wire = relay.stored[0]?.wire.toString() ?? '';
  assert.match(wire, /with ESMTPS\r\n\t\(TLSv1\.3 TLS_AES_256_GCM_SHA384 X25519\)\r\n/);
  assert.match(wire, /\r\n\ttls TLS_AES_256_GCM_SHA384 group X25519;\r\n/);
  client.close();
  await relay.listener.close();
});

test('the greeting comes without a wait and QUIT closes', async () => {
  const relay = await openListener();
  const client = await greeted(relay.port);
  assert.equal(await client.command('QUIT'), '221 2.0.0 Bye');
  assert.equal(await client.toEnd(), '');
  await relay.listener.close();
  assert.equal(relay.listener.sessions(), 0);
});
