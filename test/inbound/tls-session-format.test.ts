/**
 * The group in a serialised session: real handshakes, and bytes that are no session.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { groupOfSession } from '../../src/inbound/tls-session-format.ts';
import { createAuthority } from '../support/certificates.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { introduced, openListener, sendMessage, serverTls } from './support.ts';

checkLeaks();

const rows: readonly (readonly [options: object, want: string | null])[] = [
  [{ ecdhCurve: 'X25519' }, 'X25519'],
  [{ ecdhCurve: 'P-256' }, 'P-256'],
  [{ ecdhCurve: 'P-384' }, 'P-384'],
  [{ ecdhCurve: 'X25519MLKEM768' }, 'X25519MLKEM768'],
  [{ ecdhCurve: 'X25519', maxVersion: 'TLSv1.2' }, 'X25519'],
  [{ maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, null],
];
for (const [options, want] of rows) {
  test(`${JSON.stringify(options)} -> ${want}`, async () => {
    const rsa = serverTls(createAuthority('inbound').issue({ names: ['relay.test'], keyType: 'rsa' }));
    const relay = await openListener({ tls: { optionsFor: () => rsa } });
    const client = await introduced(relay.port);
    await client.command('STARTTLS');
    await client.startTls(options);
    await client.command('EHLO client.test');
    await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n');
    const origin = relay.stored[0]?.envelope.origin;
    assert.equal(origin?.kind === 'smtp' && origin.tls?.group, want);
    client.close();
    await relay.listener.close();
  });
}

test('a resumed session tells the group of its own exchange', async () => {
  const relay = await openListener();
  let session: Buffer | undefined;
  for (const ecdhCurve of ['X25519', 'P-256']) {
    const client = await introduced(relay.port);
    await client.command('STARTTLS');
    await client.startTls({ ecdhCurve, ...(session === undefined ? {} : { session }) });
    client.socket.on('session', (given: Buffer) => (session = given));
    await client.command('EHLO client.test');
    await sendMessage(client, 'A: b\r\n\r\nx\r\n.\r\n');
    assert.equal((client.socket as TLSSocket).isSessionReused(), ecdhCurve === 'P-256');
    client.close();
  }
  assert.deepEqual(
    relay.log.accepted.map((fields) => fields.tls?.group),
    ['X25519', 'P-256'],
  );
  await relay.listener.close();
});

test('bytes that are no session tell nothing and harm nothing', () => {
  assert.equal(groupOfSession(undefined), null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void groupOfSession(bytes)));
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 20 }),
      (bytes) => void groupOfSession(Uint8Array.from([0x30, bytes.length, ...bytes])),
    ),
  );
});
