/** The receivers of the lab survive anything, and their readers do not depend on how octets are cut. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { messageReader } from './lab/message-reader.ts';
import { startReceiver } from './lab/receiver.ts';
import { negotiatedGroup, parseClientHello } from './lab/tls-hello.ts';
import { checkLeaks } from './leak-check.ts';
import { connectClient } from './scripted-client.ts';

checkLeaks();

/** Beginnings after which anything may come. */
const OPENINGS = [
  '',
  'EHLO x\r\nSTARTTLS\r\n',
  'EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x02\x00\x01',
  'EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n',
];

test('rude clients in any number leave a receiver ready for the next polite one', async (t) => {
  const receiver = await startReceiver('tls13');
  t.after(() => receiver.stop());
  const rude = fc.asyncProperty(
    fc.constantFrom(...OPENINGS),
    fc.uint8Array({ maxLength: 600 }),
    fc.boolean(),
    async (opening, octets, reset) => {
      const client = await connectClient(receiver);
      client.raw(Buffer.concat([Buffer.from(opening, 'latin1'), octets]));
      if (reset) client.socket().resetAndDestroy();
      else client.socket().end(() => client.destroy());
    },
  );
  await fc.assert(rude, { numRuns: 150 });
  const polite = await connectClient(receiver);
  await polite.expect(220);
  await polite.ehlo();
  await polite.startTls();
  await polite.ehlo();
  assert.equal((await polite.send({ from: 'a@b.test', to: ['c@d.test'], content: 'x' }))?.code, 250);
  await polite.quit();
  await receiver.waitForEvent('close', 151);
  assert.deepEqual(
    receiver.eventsOf('error').filter((fact) => fact.problem.startsWith('bug')),
    [],
  );
});

test('broken handshake messages are null, never an exception', () => {
  const start = fc.constantFrom([], [0x16, 3, 1, 0, 60, 1, 0, 0, 56], [0x16, 3, 3, 0, 60, 2, 0, 0, 56]);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120 }), (beginning, octets) => {
      const flight = Buffer.concat([Buffer.from(beginning), octets]);
      assert.doesNotThrow(() => [parseClientHello(flight), negotiatedGroup(flight)]);
    }),
    { numRuns: 2000 },
  );
});

test('the message reader gives the same for every way to cut the octets', () => {
  const piece = fc.constantFrom('\r\n', '.', '..', '\r', '\n', 'a', 'text', '\r\n.\r', '\r\n..\r\n', '\n.\n');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat(40), { maxLength: 8 }), (pieces, cuts) => {
      // Stuffed as RFC 5321, section 4.5.2 says, so that no dot line but the last is the end.
      const content = `${pieces.join('')}\r\n`;
      const octets = Buffer.from(`${content.replace(/^\.|(?<=\r\n)\./g, '..')}.\r\nQUIT\r\n`);
      const reader = messageReader(1000);
      const places = [0, ...cuts.filter((cut) => cut < octets.length).sort((a, b) => a - b), octets.length];
      let rest = Buffer.alloc(0);
      let read: ReturnType<typeof reader.push> = null;
      for (const [index, place] of places.entries()) {
        const part = octets.subarray(places[index - 1] ?? 0, place);
        if (read === null) read = reader.push(part);
        else rest = Buffer.concat([rest, part]);
      }
      assert.ok(read !== null);
      assert.equal(read.content.toString(), content);
      assert.equal(Buffer.concat([read.rest, rest]).toString(), 'QUIT\r\n');
    }),
  );
});
