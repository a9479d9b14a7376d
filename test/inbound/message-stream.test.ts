/**
 * The scanner against a plain reading of the RFC, on any bytes cut anywhere.
 */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { MessageScanner } from '../../src/inbound/message-stream.ts';

type Reading = {
  ended: boolean;
  content: string;
  consumed: number;
  size: number;
  eightBit: boolean;
  received: number;
  tlsRequiredNo: boolean;
  defects: object;
};

/** Feeds the pieces as the receiver does, and puts together what it would keep. */
function read(pieces: readonly Buffer[], headerLimit = 1000): Reading {
  const scanner = new MessageScanner(headerLimit);
  let content = '';
  let consumed = 0;
  for (const piece of pieces) {
    if (scanner.ended) break;
    scanner.scan(piece);
    content += '.\r'.slice(0, scanner.released) + piece.subarray(0, scanner.contentEnd).toString('latin1');
    consumed += scanner.consumed;
  }
  assert.equal(scanner.wireBytes, content.length);
  const { ended, sizeBytes: size, eightBit, receivedFields: received, tlsRequiredNo, defects } = scanner;
  return { ended, content, consumed, size, eightBit, received, tlsRequiredNo, defects };
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...sorted].map((from, n, all) => bytes.subarray(from, all[n + 1] ?? bytes.length));
}

const TOKENS = [
  '\r\n',
  '\r\n',
  '\r',
  '\n',
  '.',
  '..',
  'a',
  'ab: c',
  'Received:',
  'received : x',
  'TLS-Required:',
  'no',
  '\0',
  ' ',
  '\t',
  '\xe9',
  '\r\n.\r\n',
  '.\r\n',
  '\r\n\r\n',
];
const bytes = fc.array(fc.constantFrom(...TOKENS), { maxLength: 30 }).map((tokens) => Buffer.from(tokens.join(''), 'latin1'));

test('any cut of any bytes gives the verdict and the content of the whole', () => {
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(), { maxLength: 12 }), (all, places) => {
      assert.deepEqual(read(cut(all, places)), read([all]));
      assert.deepEqual(read([...all].map((byte) => Buffer.from([byte]))), read([all]));
    }),
    { numRuns: 3000 },
  );
});

test('the end is CRLF.CRLF and nothing else; content, size and bare line breaks as the RFC reads', () => {
  fc.assert(
    fc.property(bytes, (all) => {
      const text = all.toString('latin1');
      const found = text.startsWith('.\r\n') ? 0 : text.indexOf('\r\n.\r\n') + 2;
      const reading = read([all]);
      assert.equal(reading.ended, found !== 1);
      if (found === 1) return;
      const content = text.slice(0, found);
      assert.equal(reading.content, content);
      assert.equal(reading.consumed, found + 3);
      assert.equal(
        reading.size,
        content
          .split('\r\n')
          .map((line) => line.replace(/^\./, ''))
          .join('\r\n').length,
      );
      assert.equal((reading.defects as { bareLineBreak: boolean }).bareLineBreak, /\r(?!\n)|(?<!\r)\n/.test(content));
      assert.equal(reading.eightBit, /[\x80-\xff]/.test(content));
    }),
    { numRuns: 3000 },
  );
});

const rows: readonly (readonly [what: string, text: string, want: Partial<Reading> & { defect?: string }])[] = [
  ['Received fields are counted in any case', 'Received: a\r\n b\r\nRECEIVED: c\r\nX-Received: d\r\n\r\n.\r\n', { received: 2 }],
  ['a Received in the body is none', 'A: b\r\n\r\nReceived: c\r\n.\r\n', { received: 0 }],
  ['a Received behind a line that is no field is none', 'A: b\r\nno field\r\nReceived: c\r\n.\r\n', { received: 0 }],
  ['NUL in a header is a defect', 'A: b\0\r\n\r\n.\r\n', { defect: 'nulInHeader' }],
  ['NUL in the body is not', 'A: b\r\n\r\n\0\r\n.\r\n', {}],
  ['a message that begins with a folded line is refused', ' folded\r\nA: b\r\n\r\n.\r\n', { defect: 'leadingFold' }],
  ['a folded line further down is fine', 'A: b\r\n folded\r\n\r\n.\r\n', {}],
  ['a header beyond the limit is a defect', `A: ${'x'.repeat(2000)}\r\n\r\n.\r\n`, { defect: 'headerTooLarge' }],
  ['a long body is not a long header', `A: b\r\n\r\n${'x'.repeat(5000)}\r\n.\r\n`, {}],
  ['TLS-Required: No is seen', 'TLS-Required: No\r\n\r\n.\r\n', { tlsRequiredNo: true }],
  ['in any case, without blanks', 'A: b\r\ntls-REQUIRED:nO\r\nC: d\r\n\r\n.\r\n', { tlsRequiredNo: true }],
  ['folded', 'TLS-Required:\r\n\t \r\n  No \r\n\r\n.\r\n', { tlsRequiredNo: true }],
  ['with a blank before the colon', 'TLS-Required : No\r\n\r\n.\r\n', { tlsRequiredNo: true }],
  ['as the last line of a message without body', 'TLS-Required: No\r\n.\r\n', { tlsRequiredNo: true }],
  ['among others', 'TLS-Required: Yes\r\nTLS-Required: No\r\nTLS-Required: Yes\r\n\r\n.\r\n', { tlsRequiredNo: true }],
  ['another value is none', 'TLS-Required: Nope\r\n\r\n.\r\n', { tlsRequiredNo: false }],
  ['nor are two words', 'TLS-Required: No No\r\n\r\n.\r\n', { tlsRequiredNo: false }],
  ['nor is a word torn in two', 'TLS-Required: N\r\n o\r\n\r\n.\r\n', { tlsRequiredNo: false }],
  ['nor is nothing', 'TLS-Required:\r\n\r\n.\r\n', { tlsRequiredNo: false }],
  ['another field is none', 'X-TLS-Required: No\r\nTLS-Required-X: No\r\n\r\n.\r\n', { tlsRequiredNo: false }],
  ['a field in the body is none', 'A: b\r\n\r\nTLS-Required: No\r\n.\r\n', { tlsRequiredNo: false }],
  ['an empty message', '.\r\n', { content: '', size: 0 }],
];
for (const [what, text, { defect, ...want }] of rows) {
  test(what, () => {
    const reading = read([Buffer.from(text, 'latin1')]);
    assert.equal(reading.ended, true);
    for (const [key, value] of Object.entries(want)) assert.equal(reading[key as keyof Reading], value);
    const defects = Object.entries(reading.defects)
      .filter(([, on]) => on)
      .map(([name]) => name);
    assert.deepEqual(defects, defect === undefined ? [] : [defect]);
  });
}
