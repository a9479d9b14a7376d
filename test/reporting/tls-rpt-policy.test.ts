/** TLSRPT records, endpoints and times as tables (RFC 8460, sections 3, 4.1 and 5.5). */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Instant } from '../../src/domain/basics.ts';
import { DAY_LENGTH } from '../../src/domain/tls-report.ts';
import {
  dayOf,
  dayStart,
  GIVE_UP_AFTER,
  nextTry,
  parseEndpoint,
  parseTlsRptRecords,
  reportDue,
} from '../../src/reporting/tls-rpt-policy.ts';

const GOOD = 'v=TLSRPTv1; rua=mailto:a@example.com';
const RECORDS: readonly (readonly [what: string, records: readonly string[], uris: readonly string[] | 'none' | 'invalid'])[] = [
  ['mailto', ['v=TLSRPTv1;rua=mailto:reports@example.com'], ['mailto:reports@example.com']],
  ['https', ['v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt'], ['https://reporting.example.com/v1/tlsrpt']],
  [
    'two endpoints, blanks around',
    ['v=TLSRPTv1 ;\trua=mailto:a@b.example , https://c.example/x ;'],
    ['mailto:a@b.example', 'https://c.example/x'],
  ],
  ['the same endpoint twice counts once', [`${GOOD},mailto:a@example.com`], ['mailto:a@example.com']],
  [
    'more than five endpoints',
    [
      `v=TLSRPTv1; rua=${'abcdefg'
        .split('')
        .map((c) => `mailto:${c}@x.example`)
        .join(',')}`,
    ],
    'abcde'.split('').map((c) => `mailto:${c}@x.example`),
  ],
  ['extensions are ignored', ['v=TLSRPTv1; x-1.y=z; rua=mailto:a@example.com; later=1'], ['mailto:a@example.com']],
  ['an equals sign in the URI', ['v=TLSRPTv1; rua=https://c.example/?a=b'], ['https://c.example/?a=b']],
  ['records of others beside it', ['v=spf1 -all', GOOD], ['mailto:a@example.com']],
  ['none', [], 'none'],
  ['another version', ['v=TLSRPTv2; rua=mailto:a@b.example'], 'none'],
  ['lower-case version', ['v=tlsrptv1; rua=mailto:a@b.example'], 'none'],
  ['two records', [GOOD, GOOD], 'none'],
  ['a blank before the version', [` ${GOOD}`], 'none'],
  ['no rua', ['v=TLSRPTv1; x=y'], 'invalid'],
  ['version only', ['v=TLSRPTv1;'], 'invalid'],
  ['an empty rua', ['v=TLSRPTv1; rua='], 'invalid'],
  ['an empty endpoint', ['v=TLSRPTv1; rua=mailto:a@b.example,,'], 'invalid'],
  ['a blank within a URI', ['v=TLSRPTv1; rua=mailto:a b@c.example'], 'invalid'],
  ['no field', ['v=TLSRPTv1; what'], 'invalid'],
];
for (const [what, records, uris] of RECORDS)
  test(`record: ${what}`, () => {
    const found = parseTlsRptRecords(records);
    assert.deepEqual(found.kind === 'record' ? found.uris : found.kind, uris);
  });

const ENDPOINTS: readonly (readonly [uri: string, endpoint: string | null])[] = [
  ['mailto:a@example.com', 'mail a@example.com'],
  ['MAILTO:a@EXAMPLE.com', 'mail a@example.com'],
  ['mailto:a%2Bb@example.com', 'mail a+b@example.com'],
  ['mailto:a@example.com?subject=x%0D%0ABcc:%20v@v.example', 'mail a@example.com'],
  ['mailto:a%0D%0A@example.com', null],
  ['mailto:a@example.com%2Cb@example.com', null],
  ['mailto:%ff@example.com', null],
  ['mailto:', null],
  ['https://r.example/v1?x=1', 'post r.example:443/v1?x=1'],
  ['https://r.example:8443', 'post r.example:8443/'],
  ['https://R.Example/', 'post r.example:443/'],
  ['https://user:secret@r.example/', null],
  ['https://127.0.0.1/', null],
  ['https://[::1]/', null],
  ['https://2130706433/', null],
  ['http://r.example/', null],
  ['ftp://r.example/', null],
  [`https://r.example/${'x'.repeat(1000)}`, null],
];
for (const [uri, endpoint] of ENDPOINTS)
  test(`endpoint: ${uri.slice(0, 60)} is ${endpoint ?? 'none'}`, () => {
    const found = parseEndpoint(uri);
    const text =
      found === null
        ? null
        : found.kind === 'mailto'
          ? `mail ${found.mailbox.localPart}@${found.mailbox.domain}`
          : `post ${found.host}:${found.port}${found.path}`;
    assert.equal(text, endpoint);
  });

test('a record of any text is read without an error', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string().map((text) => `v=TLSRPTv1;${text}`),
        { maxLength: 2 },
      ),
      (records) => {
        const found = parseTlsRptRecords(records);
        if (found.kind === 'record') for (const uri of found.uris) parseEndpoint(uri);
      },
    ),
  );
});

test('a report is due after its day has ended, within four hours', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (day, chance) => {
        const due = reportDue(day, chance);
        assert.ok(due > dayStart(day + 1) && due < dayStart(day + 1) + 4 * 3_600_000);
        assert.equal(dayOf(due), day + 1);
      },
    ),
  );
});

test('retries double and end within a day', () => {
  let now = 0 as Instant;
  const until = GIVE_UP_AFTER as Instant;
  const pauses: number[] = [];
  for (let tries = 1; ; tries += 1) {
    const next = nextTry(tries, { now, until });
    if (next === null) break;
    pauses.push((next - now) / 60_000);
    now = next;
  }
  assert.deepEqual(pauses, [5, 10, 20, 40, 80, 160, 240, 240, 240, 240]);
  assert.ok(now <= DAY_LENGTH);
});
