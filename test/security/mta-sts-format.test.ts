/** What domains publish about MTA-STS, line by line. RFC 8461, sections 3.1 and 3.2. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PolicyFault } from '../../src/domain/mta-sts.ts';
import { namePatternText } from '../../src/domain/peer.ts';
import {
  isPlainText,
  MAX_POLICY_BYTES,
  parsePolicy,
  parseStsRecords,
  policyLines,
  type StsRecord,
} from '../../src/security/mta-sts-format.ts';

const A32 = 'a'.repeat(32);
const found = (id: string): StsRecord => ({ kind: 'id', id });
const NONE: StsRecord = { kind: 'none' };
const INVALID: StsRecord = { kind: 'invalid' };

const records: readonly [strings: readonly string[], expected: StsRecord][] = [
  [[], NONE],
  [['v=STSv1; id=20160831085700Z;'], found('20160831085700Z')],
  [['v=STSv1;id=1'], found('1')],
  [['v=STSv1 ;\t id=1 ; '], found('1')],
  [[`v=STSv1; id=${A32};`], found(A32)],
  [[`v=STSv1; id=${A32}a;`], INVALID],
  [['v=STSv1; id=;'], INVALID],
  [['v=STSv1; id=a-b;'], INVALID],
  [['v=STSv1; id=a b;'], INVALID],
  [['v=STSv1; id =a;'], INVALID],
  [['v=STSv1;'], INVALID],
  [['v=STSv1; ;id=1'], INVALID],
  [['v=STSv1; foo'], INVALID],
  [['v=STSv1; ID=1;'], INVALID],
  [['v=STSv1; x-y.z=9:/!; id=2;'], found('2')],
  [['v=STSv1; id=1; id=2;'], found('1')],
  [['v=STSv1; id=!; id=2;'], INVALID],
  [['v=STSv1; id=1; =x;'], INVALID],
  [[`v=STSv1; id=1; ${'k'.repeat(33)}=x;`], INVALID],
  [['v=STSv1; id=1; k=\u00e4;'], INVALID],
  // What does not begin with the version is somebody else's record.
  [['v=STSv1'], NONE],
  [['v=STSv2; id=1;'], NONE],
  [['V=STSv1; id=1;'], NONE],
  [['v=stsv1; id=1;'], NONE],
  [[' v=STSv1; id=1;'], NONE],
  [['v=STSv10; id=1;'], NONE],
  [['v=spf1 -all', 'v=STSv1; id=1;', 'hello'], found('1')],
  // Two that do are none, whatever else they are.
  [['v=STSv1; id=1;', 'v=STSv1; id=1;'], { kind: 'several' }],
  [['v=STSv1; id=1;', 'v=STSv1; broken'], { kind: 'several' }],
];
for (const [strings, expected] of records) {
  test(`records ${JSON.stringify(strings)} -> ${JSON.stringify(expected)}`, () =>
    assert.deepEqual(parseStsRecords(strings), expected));
}

const types: readonly [header: string, plain: boolean][] = [
  ['text/plain', true],
  ['Text/Plain', true],
  ['text/plain; charset=utf-8', true],
  ['text/plain;charset="UTF-8"', true],
  ['text/plain; charset=us-ascii; format=flowed', true],
  ['text/plain; charset=ISO-8859-1', true],
  ['text/plain; charset=utf-16', false],
  ['text/plain; charset=ebcdic-us', false],
  ['text/html', false],
  ['text/plainer', false],
  ['application/octet-stream', false],
  ['', false],
];
for (const [header, plain] of types) {
  test(`content type "${header}": ${plain ? 'taken' : 'refused'}`, () => assert.equal(isPlainText(header), plain));
}

const TAIL = '\r\nmode: enforce\r\nmx: mx.example.test\r\nmax_age: 604800\r\n';
const HEAD = 'version: STSv1\r\nmode: enforce\r\n';
const good: readonly [name: string, text: string, expected: string][] = [
  [
    'the RFC’s example',
    'version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n',
    'enforce mail.example.com *.example.net backupmx.example.com 604800',
  ],
  ['CRLF', `version: STSv1${TAIL}`, 'enforce mx.example.test 604800'],
  ['CRLF and LF mixed', 'version: STSv1\r\nmode: testing\nmx: a.test\r\nmax_age: 1', 'testing a.test 1'],
  ['no line end at the end', 'version: STSv1\nmode: testing\nmx: a.test\nmax_age: 86400', 'testing a.test 86400'],
  ['any order', 'max_age: 10\nmx: a.test\nmode: enforce\nversion: STSv1\n', 'enforce a.test 10'],
  ['no space or much', 'version:STSv1\nmode: \t enforce  \nmx:a.test\t\nmax_age:1', 'enforce a.test 1'],
  ['mode none without hosts', 'version: STSv1\nmode: none\nmax_age: 0\n', 'none 0'],
  ['mode none with hosts', 'version: STSv1\nmode: none\nmx: a.test\nmax_age: 86400\n', 'none a.test 86400'],
  ['the longest age', `${HEAD}mx: a.test\nmax_age: 31557600`, 'enforce a.test 31557600'],
  ['ten digits', `${HEAD}mx: a.test\nmax_age: 0000604800`, 'enforce a.test 604800'],
  ['unknown keys', `${HEAD}x-future.key_1: grüße, all\nmx: a.test\nmax_age: 1`, 'enforce a.test 1'],
  ['keys in other case are unknown keys', `${HEAD}MX: b.test\nmx: a.test\nmax_age: 1`, 'enforce a.test 1'],
  [
    'the first of a repeated key',
    'version: STSv1\nversion: STSv2\nmode: testing\nmode: enforce\nmx: a.test\nmax_age: 1\nmax_age: x',
    'testing a.test 1',
  ],
  ['upper case hosts', `${HEAD}mx: *.Example.TEST\nmax_age: 1`, 'enforce *.example.test 1'],
  ['empty lines at the end', `${HEAD}mx: a.test\nmax_age: 1\n\n  \r\n\n`, 'enforce a.test 1'],
  [
    'an IPv4 address among hosts matches nothing and harms nothing',
    `${HEAD}mx: 192.0.2.1\nmx: a.test\nmax_age: 1`,
    'enforce a.test 1',
  ],
];
for (const [name, text, expected] of good) {
  test(`policy: ${name}`, () => {
    const policy = parsePolicy(Buffer.from(text));
    assert.ok(policy.ok, JSON.stringify(policy));
    const { mode, mx, maxAgeSeconds } = policy.value;
    assert.equal([mode, ...mx.map(namePatternText), maxAgeSeconds].join(' '), expected);
  });
}

const syntax = (line: number, text: string): PolicyFault => ({ kind: 'syntax', line, text });
const value = (key: 'version' | 'mode' | 'max_age' | 'mx', line: number, text: string): PolicyFault => ({
  kind: 'value',
  key,
  line,
  text,
});
const missing = (key: 'version' | 'mode' | 'max_age' | 'mx'): PolicyFault => ({ kind: 'missing', key });
const bad: readonly [name: string, text: string | Buffer, fault: PolicyFault][] = [
  ['empty', '', syntax(1, '')],
  ['a web page', '<!doctype html>\n<p>mode: enforce', syntax(1, '<!doctype html>')],
  ['no version', 'mode: enforce\nmx: a.test\nmax_age: 1', missing('version')],
  ['another version', `version: STSv2${TAIL}`, value('version', 1, 'version: STSv2')],
  ['a version in other case', `version: stsv1${TAIL}`, value('version', 1, 'version: stsv1')],
  ['no mode', 'version: STSv1\nmx: a.test\nmax_age: 1', missing('mode')],
  ['a mode of its own', 'version: STSv1\nmode: report\nmx: a.test\nmax_age: 1', value('mode', 2, 'mode: report')],
  ['a mode in other case', 'version: STSv1\nmode: Enforce\nmx: a.test\nmax_age: 1', value('mode', 2, 'mode: Enforce')],
  ['no age', `${HEAD}mx: a.test`, missing('max_age')],
  ['an age of a year and a second', `${HEAD}mx: a.test\nmax_age: 31557601`, value('max_age', 4, 'max_age: 31557601')],
  ['a negative age', `${HEAD}mx: a.test\nmax_age: -1`, value('max_age', 4, 'max_age: -1')],
  ['an age with a unit', `${HEAD}mx: a.test\nmax_age: 1d`, value('max_age', 4, 'max_age: 1d')],
  ['an age in hex', `${HEAD}mx: a.test\nmax_age: 0x10`, value('max_age', 4, 'max_age: 0x10')],
  ['eleven digits', `${HEAD}mx: a.test\nmax_age: 00000604800`, value('max_age', 4, 'max_age: 00000604800')],
  ['no hosts', `${HEAD}max_age: 604800`, missing('mx')],
  // Seen in the wild (Zuplu/postfix-tlspol#95): a key one letter off is an unknown key, and the policy has no host.
  ['nmx', `${HEAD}nmx: mx0.host.test\nmax_age: 604800`, missing('mx')],
  ['only an address', `${HEAD}mx: 192.0.2.1\nmax_age: 604800`, missing('mx')],
  ['two hosts in a line', `${HEAD}mx: a.test, b.test\nmax_age: 1`, value('mx', 3, 'mx: a.test, b.test')],
  ['a star that is no label', `${HEAD}mx: *a.test\nmax_age: 1`, value('mx', 3, 'mx: *a.test')],
  ['a star inside', `${HEAD}mx: a.*.test\nmax_age: 1`, value('mx', 3, 'mx: a.*.test')],
  ['a lone star', `${HEAD}mx: *\nmax_age: 1`, value('mx', 3, 'mx: *')],
  ['the dot of certificates gone by', `${HEAD}mx: .a.test\nmax_age: 1`, value('mx', 3, 'mx: .a.test')],
  ['a trailing dot', `${HEAD}mx: a.test.\nmax_age: 1`, value('mx', 3, 'mx: a.test.')],
  ['U-labels', `${HEAD}mx: müller.test\nmax_age: 1`, value('mx', 3, 'mx: m?ller.test')],
  ['an IPv6 address', `${HEAD}mx: [2001:db8::1]\nmax_age: 1`, value('mx', 3, 'mx: [2001:db8::1]')],
  ['an empty value', `${HEAD}mx:\nmax_age: 1`, syntax(3, 'mx:')],
  ['a space before the colon', `${HEAD}mx : a.test\nmax_age: 1`, syntax(3, 'mx : a.test')],
  ['an indented line', `${HEAD} mx: a.test\nmax_age: 1`, syntax(3, ' mx: a.test')],
  ['an empty line between', 'version: STSv1\n\nmode: enforce\nmx: a.test\nmax_age: 1', syntax(2, '')],
  ['a comment', `# ours\nversion: STSv1${TAIL}`, syntax(1, '# ours')],
  ['a bare CR', 'version: STSv1\rmode: enforce\nmx: a.test\nmax_age: 1', syntax(1, 'version: STSv1?mode: enforce')],
  ['a NUL', `${HEAD}x: a\0b\nmx: a.test\nmax_age: 1`, syntax(3, 'x: a?b')],
  ['a key too long', `${HEAD}${'k'.repeat(33)}: x\nmx: a.test\nmax_age: 1`, syntax(3, `${'k'.repeat(33)}: x`)],
  ['a byte order mark', `\ufeffversion: STSv1${TAIL}`, syntax(1, '?version: STSv1')],
  ['latin-1', Buffer.from(`${HEAD}x: gr\xfc\xdfe\nmx: a.test\nmax_age: 1`, 'latin1'), { kind: 'not-utf8' }],
  ['hosts without end', `${HEAD}${'mx: a.test\n'.repeat(501)}max_age: 1`, { kind: 'too-many-mx' }],
];
for (const [name, text, fault] of bad) {
  test(`no policy: ${name}`, () => assert.deepEqual(parsePolicy(Buffer.from(text)), { ok: false, error: fault }));
}

test('a policy written out reads back the same', () => {
  const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/);
  const name = fc.tuple(fc.boolean(), label, label).map(([below, a, b]) => `${below ? '*.' : ''}${a}.${b}`);
  const mode = fc.constantFrom('enforce', 'testing', 'none');
  const facts = fc.tuple(mode, fc.array(name, { minLength: 1, maxLength: 8 }), fc.nat(31_557_600));
  fc.assert(
    fc.property(facts, ([mode, mx, age]) => {
      const text = [`version: STSv1`, `mode: ${mode}`, ...mx.map((host) => `mx: ${host}`), `max_age: ${age}`];
      const policy = parsePolicy(Buffer.from(text.join('\r\n')));
      assert.ok(policy.ok);
      assert.deepEqual(policyLines(policy.value), text);
    }),
  );
});

test('whatever the bytes: an answer, never an exception, and soon', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => typeof parsePolicy(bytes).ok === 'boolean'));
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('m', 'x', ':', ' ', '\t', '\r', '\n', '*', '.', 'a') }),
      (text) => typeof parsePolicy(Buffer.from(text)).ok === 'boolean',
    ),
  );
  for (const unit of ['a', ' ', '.', 'a ', '-', 'mx: a\r', '*.', ': ']) {
    assert.equal(parsePolicy(Buffer.from(`mx: a${unit.repeat(MAX_POLICY_BYTES / unit.length)}!`)).ok, false);
    assert.notEqual(parseStsRecords([`v=STSv1; id=${unit.repeat(MAX_POLICY_BYTES / unit.length)}!`]).kind, 'id');
  }
});
