import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { capText, escapeJson, escapeLines, escapeText } from '../../src/domain/escape.ts';

const rows: readonly [text: string, shown: string][] = [
  ['550 5.1.1 User unknown', '550 5.1.1 User unknown'],
  ['a\r\nb', 'a\\x0d\\x0ab'],
  ['\x1b[31mred\x9b0m', '\\x1b[31mred\\x9b0m'],
  ['user\u202egpj.exe', 'user\\u202egpj.exe'],
  ['line\u2028two\u0000', 'line\\u2028two\\x00'],
  ['δοκιμή 日本 😀', 'δοκιμή 日本 😀'],
  ['half \ud800', 'half \\ud800'],
];
for (const [text, shown] of rows) {
  test(`escapeText(${JSON.stringify(text)})`, () => assert.equal(escapeText(text), shown));
}

const SAFE = /^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$/u;

test('whatever comes in, one bounded line without controls comes out', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 900 }), fc.integer({ min: 1, max: 600 }), (text, limit) => {
      const shown = escapeText(text, limit);
      assert.ok(shown.length <= limit);
      assert.match(shown, SAFE);
      assert.ok(shown.isWellFormed());
    }),
  );
});

test('capText says that something is missing and splits no character', () => {
  assert.equal(capText('abcdef', 6), 'abcdef');
  assert.equal(capText('abcdefg', 6), 'abcde…');
  assert.equal(capText('abcd😀fg', 6), 'abcd…');
});

test('escapeLines keeps the layout only', () => assert.equal(escapeLines('a\tb\nc\x1b\r\n'), 'a\tb\nc\\x1b\\x0d\n'));

test('escapeJson means the same document', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const json = escapeJson(JSON.stringify({ text }));
      assert.match(json, SAFE);
      assert.equal(JSON.parse(json).text, text);
    }),
  );
});
