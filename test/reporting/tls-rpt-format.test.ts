/** Reports as text: the shape of RFC 8460, appendix B, the message and its names, read by other means than they were made with. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { ReportedPolicy, SessionResult, TlsResultType } from '../../src/domain/tls-report.ts';
import {
  type CountedSessions,
  type ReportMailFacts,
  reportFilename,
  reportJson,
  reportMail,
  reportMessage,
} from '../../src/reporting/tls-rpt-format.ts';
import { readReport, readReportMail } from '../support/tls-reports.ts';
import { fields, parseMails } from './parsed-mail.ts';

const domain = 'company-y.example' as Domain;
const reporter = {
  from: { localPart: 'sts-reporting', domain: 'company-x.example' as Domain },
  organization: 'Company-X',
};
/** 2016-04-01, the day of the RFC's example. */
const subject = { day: 16_892, domain, instance: 'c8e4e0' };

const sts: ReportedPolicy = {
  type: 'sts',
  domain,
  lines: ['version: STSv1', 'mode: testing', 'mx: *.mail.company-y.example', 'max_age: 86400'],
  mx: ['*.mail.company-y.example'],
};
const failure = (type: TlsResultType, rest: Partial<Extract<SessionResult, { kind: 'failure' }>>): SessionResult => ({
  kind: 'failure',
  type,
  reason: null,
  sendingIp: null,
  mx: null,
  ip: null,
  ...rest,
});
const SESSIONS: readonly CountedSessions[] = [
  { policy: sts, result: { kind: 'success' }, count: 5326 },
  {
    policy: sts,
    result: failure('certificate-expired', { sendingIp: '2001:db8:abcd:12::1', mx: 'mx1.mail.company-y.example' }),
    count: 100,
  },
  {
    policy: sts,
    result: failure('starttls-not-supported', {
      sendingIp: '2001:db8:abcd:13::1',
      mx: 'mx2.mail.company-y.example',
      ip: '203.0.113.56',
    }),
    count: 200,
  },
  {
    policy: sts,
    result: failure('validation-failure', {
      sendingIp: '198.51.100.62',
      ip: '203.0.113.58',
      mx: 'mx-backup.mail.company-y.example',
      reason: 'X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED',
    }),
    count: 3,
  },
];

test('the example of RFC 8460, appendix B', () => {
  assert.deepEqual(readReport(reportJson(subject, reporter, SESSIONS)), {
    'organization-name': 'Company-X',
    'date-range': { 'start-datetime': '2016-04-01T00:00:00Z', 'end-datetime': '2016-04-01T23:59:59Z' },
    'contact-info': 'sts-reporting@company-x.example',
    'report-id': '2016-04-01.company-y.example.c8e4e0',
    policies: [
      {
        policy: {
          'policy-type': 'sts',
          'policy-string': ['version: STSv1', 'mode: testing', 'mx: *.mail.company-y.example', 'max_age: 86400'],
          'policy-domain': 'company-y.example',
          'mx-host': ['*.mail.company-y.example'],
        },
        summary: { 'total-successful-session-count': 5326, 'total-failure-session-count': 303 },
        'failure-details': [
          {
            'result-type': 'certificate-expired',
            'sending-mta-ip': '2001:db8:abcd:12::1',
            'receiving-mx-hostname': 'mx1.mail.company-y.example',
            'failed-session-count': 100,
          },
          {
            'result-type': 'starttls-not-supported',
            'sending-mta-ip': '2001:db8:abcd:13::1',
            'receiving-mx-hostname': 'mx2.mail.company-y.example',
            'receiving-ip': '203.0.113.56',
            'failed-session-count': 200,
          },
          {
            'result-type': 'validation-failure',
            'sending-mta-ip': '198.51.100.62',
            'receiving-mx-hostname': 'mx-backup.mail.company-y.example',
            'receiving-ip': '203.0.113.58',
            'failed-session-count': 3,
            'failure-reason-code': 'X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED',
          },
        ],
      },
    ],
  });
});

const POLICIES: readonly ReportedPolicy[] = [
  sts,
  { type: 'sts', domain, lines: [], mx: [] },
  { type: 'tlsa', domain: 'mx.company-y.example' as Domain, lines: [`3 1 1 ${'AB'.repeat(32)}`] },
  { type: 'tlsa', domain: 'mx.company-y.example' as Domain, lines: [] },
  { type: 'no-policy-found', domain },
];
const RESULTS: readonly SessionResult[] = [
  { kind: 'success' },
  failure('dnssec-invalid', { reason: 'bogus' }),
  failure('tlsa-invalid', { mx: 'mx.company-y.example', ip: '2001:db8::1' }),
];

test('whatever was counted: a valid report, every session in it, every policy once', () => {
  const session = fc.record({
    policy: fc.constantFrom(...POLICIES),
    result: fc.constantFrom(...RESULTS),
    count: fc.integer({ min: 1, max: 1e9 }),
  });
  fc.assert(
    fc.property(fc.array(session, { minLength: 1, maxLength: 20 }), (sessions) => {
      const { policies } = readReport(reportJson(subject, reporter, sessions));
      const sum = policies.reduce(
        (all, { summary }) => all + summary['total-successful-session-count'] + summary['total-failure-session-count'],
        0,
      );
      assert.equal(
        sum,
        sessions.reduce((all, { count }) => all + count, 0),
      );
      assert.equal(new Set(policies.map(({ policy }) => JSON.stringify(policy))).size, policies.length);
    }),
  );
});

test('names: the file as in RFC 8460, section 5.1', () => {
  assert.equal(reportFilename(subject, reporter), 'company-x.example!company-y.example!1459468800!1459555199!c8e4e0.json.gz');
});

const facts: ReportMailFacts = {
  subject,
  reporter,
  hostname: 'relay.company-x.example' as Domain,
  compressed: gzipSync(reportJson(subject, reporter, SESSIONS)),
  to: { localPart: 'mts-sts-tlsrpt', domain },
  queueId: 'QUEUEID' as QueueId,
  now: Date.UTC(2016, 3, 2, 1, 2, 3) as Instant,
  boundarySeed: '0123456789abcdef0123456789abcdef',
};

test('the message: a multipart/report without defects, with the fields of section 5.3', () => {
  const text = reportMail(facts);
  for (const line of text.split('\r\n')) assert.ok(line.length <= 998 && !/[\r\n]/.test(line));
  const [mail] = parseMails([Buffer.from(text)]);
  assert.deepEqual(mail?.defects, []);
  assert.equal(mail?.type, 'multipart/report');
  assert.match(fields(mail, 'Content-Type')[0] ?? '', /report-type="tlsrpt"/);
  assert.deepEqual(fields(mail, 'TLS-Report-Domain'), ['company-y.example']);
  assert.deepEqual(fields(mail, 'TLS-Report-Submitter'), ['company-x.example']);
  assert.deepEqual(fields(mail, 'TLS-Required'), ['No']);
  assert.deepEqual(fields(mail, 'From'), ['<sts-reporting@company-x.example>']);
  assert.deepEqual(fields(mail, 'To'), ['<mts-sts-tlsrpt@company-y.example>']);
  assert.deepEqual(fields(mail, 'Subject'), [
    'Report Domain: company-y.example Submitter: company-x.example Report-ID: <2016-04-01.company-y.example.c8e4e0@company-x.example>',
  ]);
  assert.deepEqual(
    mail?.parts.map(({ type, encoding }) => [type, encoding]),
    [
      ['text/plain', '7bit'],
      ['application/tlsrpt+gzip', 'base64'],
    ],
  );
  const read = readReportMail(text);
  assert.equal(read.filename, reportFilename(subject, reporter));
  assert.deepEqual(read.report, readReport(reportJson(subject, reporter, SESSIONS)));
});

test('the message waives TLS policies, comes from its sender, and calls for no notice', () => {
  const { envelope, recipients } = reportMessage(facts, reportMail(facts));
  assert.deepEqual(envelope.origin, { kind: 'report' });
  assert.deepEqual(envelope.reversePath, reporter.from);
  assert.deepEqual([envelope.tlsRequiredNo, envelope.requireTls, envelope.eightBit], [true, false, false]);
  assert.deepEqual(recipients[0].notify, []);
});
