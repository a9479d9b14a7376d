/** Replies out of bytes: any split, any junk, within bounds. */
import { strict as assert } from 'node:assert';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SmtpReply } from '../../src/domain/outcome.ts';
import { ReplyParser } from '../../src/transport/reply-parser.ts';

function parse(...chunks: readonly (string | Buffer)[]): {
  readonly replies: readonly SmtpReply[];
  readonly problem: string | null;
} {
  const replies: SmtpReply[] = [];
  const parser = new ReplyParser();
  for (const chunk of chunks) {
    const problem = parser.feed(Buffer.from(chunk as string), (reply) => void replies.push(reply));
    if (problem !== null) return { replies, problem };
  }
  return { replies, problem: null };
}

describe('well-formed replies', () => {
  const rows: readonly [bytes: string, reply: SmtpReply][] = [
    ['250 2.1.0 Ok\r\n', { code: 250, enhanced: '2.1.0', text: 'Ok' }],
    ['250\r\n', { code: 250, enhanced: null, text: '' }],
    ['354 go\r\n', { code: 354, enhanced: null, text: 'go' }],
    ['250 ok\n', { code: 250, enhanced: null, text: 'ok' }],
    ['550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n', { code: 550, enhanced: '5.1.1', text: 'no such user' }],
    ['550 4.1.1 class differs\r\n', { code: 550, enhanced: null, text: '4.1.1 class differs' }],
    ['250 2.0.0\r\n', { code: 250, enhanced: '2.0.0', text: '' }],
    ['550 5.7.1 \x1b[31mred\x07\r\n', { code: 550, enhanced: '5.7.1', text: '[31mred' }],
    ['550 5.1.1 schöne Grüße\r\n', { code: 550, enhanced: '5.1.1', text: 'schöne Grüße' }],
  ];
  for (const [bytes, reply] of rows) {
    test(JSON.stringify(bytes), () => assert.deepEqual(parse(bytes), { replies: [reply], problem: null }));
  }
});

describe('what is no reply', () => {
  for (const bytes of ['hello\r\n', '99 x\r\n', '650 x\r\n', '\r\n', '250+ok\r\n', '250-a\r\n251 b\r\n', 'HTTP/1.1 200 OK\r\n']) {
    test(JSON.stringify(bytes), () => assert.equal(parse(bytes).problem, 'not-a-reply'));
  }
  test('a line without end', () => assert.equal(parse('250 '.padEnd(5000, 'x'), 'x'.repeat(5000)).problem, 'too-long'));
  test('a reply without end', () => assert.equal(parse('250-x\r\n'.repeat(1000)).problem, 'too-long'));
});

test('text is capped at 512 characters', () => assert.equal(parse(`250 ${'x'.repeat(4000)}\r\n`).replies[0]?.text.length, 512));

test('any split gives the same replies', () => {
  const bytes = Buffer.from('220 hi\r\n250-a\r\n250-SIZE 100\r\n250 2.0.0 ü\r\n550 5.1.1 no\r\n');
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
      assert.deepEqual(parse(...chunks), parse(bytes));
    }),
  );
});

test('arbitrary bytes never throw and never leave more than the bounds allow', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (chunks) => {
      for (const { code, text } of parse(...chunks.map((chunk) => Buffer.from(chunk))).replies) {
        assert.ok(code >= 200 && code < 600);
        assert.ok(text.length <= 512);
        assert.doesNotMatch(text, /[\x00-\x1f\x7f]/);
      }
    }),
  );
});
