/**
 * SMTP smuggling: twenty-nine things that are not CRLF.CRLF, whole and octet by octet. None ends a message, none gets a second one in.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { type Client, introduced, openListener } from './support.ts';

checkLeaks();

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const SEQUENCES: readonly (readonly [name: string, sequence: Buffer])[] = [
  ['LF.LF', bytes('\n.\n')],
  ['LF.CRLF', bytes('\n.\r\n')],
  ['CRLF.LF', bytes('\r\n.\n')],
  ['CR.CR', bytes('\r.\r')],
  ['CR.LF', bytes('\r.\n')],
  ['LF.CR', bytes('\n.\r')],
  ['CR.CRLF', bytes('\r.\r\n')],
  ['CRLF.CR', bytes('\r\n.\r')],
  ['LF.CRCRLF', bytes('\n.\r\r\n')],
  ['CRLF.CRCRLF', bytes('\r\n.\r\r\n')],
  ['CRCRLF.CRCRLF', bytes('\r\r\n.\r\r\n')],
  ['CRCR.CRLF', bytes('\r\r.\r\n')],
  ['CRLF.LFCR', bytes('\r\n.\n\r')],
  ['NUL before the dot', bytes('\r\n\0.\r\n')],
  ['NUL behind the dot', bytes('\r\n.\0\r\n')],
  ['CR NUL LF', bytes('\r\n.\r\0\n')],
  ['space behind the dot', bytes('\r\n. \r\n')],
  ['TAB behind the dot', bytes('\r\n.\t\r\n')],
  ['space before the dot', bytes('\r\n .\r\n')],
  ['two dots', bytes('\r\n..\r\n')],
  ['VT', bytes('\v.\v')],
  ['FF', bytes('\f.\f')],
  ['NEL in UTF-8', bytes('\xc2\x85.\xc2\x85')],
  ['NEL in latin-1', bytes('\x85.\x85')],
  ['U+2028', Buffer.from('\u2028.\u2028')],
  ['full-width dot', Buffer.from('\r\n\uff0e\r\n')],
  ['overlong LF', bytes('\xc0\x8a.\xc0\x8a')],
  ['8-bit dot', bytes('\r\n\xae\r\n')],
  ['dot, backspace', bytes('\r\n.\b\r\n')],
];

const SMUGGLED = 'MAIL FROM:<evil@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx';

async function octetByOctet(client: Client, content: Buffer): Promise<void> {
  client.socket.setNoDelay(true);
  for (const octet of content) {
    client.send(Buffer.from([octet]));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const [name, sequence] of SEQUENCES) {
  for (const whole of [true, false]) {
    test(`${name} does not end a message, sent ${whole ? 'whole' : 'octet by octet'}`, async () => {
      const relay = await openListener();
      const client = await introduced(relay.port);
      client.send('MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n');
      await client.replies(3);
      const content = Buffer.concat([bytes('Subject: x\r\n\r\nfirst'), sequence, bytes(`${SMUGGLED}\r\n.\r\nNOOP\r\n`)]);
      if (whole) client.send(content);
      else await octetByOctet(client, content);
      const bare = /\r(?!\n)|(?<!\r)\n/.test(sequence.toString('latin1'));
      assert.match(await client.reply(), bare ? /^550 5\.6\.11 / : /^250 2\.0\.0 Ok: queued/);
      assert.equal(await client.reply(), '250 2.0.0 Ok');
      assert.equal(relay.stored.length, bare ? 0 : 1);
      if (!bare) assert.match(relay.stored[0]?.wire.toString('latin1') ?? '', /smuggled/);
      client.close();
      await relay.listener.close();
    });
  }
}

test('the true end is found wherever it is cut', async () => {
  const relay = await openListener();
  const client = await introduced(relay.port);
  client.socket.setNoDelay(true);
  const content = 'Subject: x\r\n\r\nx\r\n.\r\n';
  for (let place = 1; place < content.length; place += 1) {
    client.send('MAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n');
    await client.replies(3);
    client.send(content.slice(0, place));
    await new Promise((resolve) => setTimeout(resolve, 2));
    client.send(content.slice(place));
    assert.match(await client.reply(), /^250 /);
  }
  assert.ok(relay.stored.every((message) => message.wire.toString().endsWith('\r\nSubject: x\r\n\r\nx\r\n')));
  client.close();
  await relay.listener.close();
});
