/**
 * Renders TLS reports: the JSON (RFC 8460, section 4.4), the name of its file, and the message that carries it (section 5). Pure.
 */
import { type Domain, type Mailbox, mailboxText } from '../domain/address.ts';
import type { Instant } from '../domain/basics.ts';
import type { Config, TlsRptConfig } from '../domain/config.ts';
import type { QueueId } from '../domain/envelope.ts';
import type { NewMessage } from '../domain/queue.ts';
import { DAY_LENGTH, type ReportedPolicy, type SessionResult } from '../domain/tls-report.ts';
import { chooseBoundary, dotStuff, headerField, isEightBit, mailDate } from './mime-format.ts';
import { dayStart } from './tls-rpt-policy.ts';

/** What is reported on. */
export type ReportSubject = {
  readonly day: number;
  readonly domain: Domain;
  /** Letters and digits that tell this relay's reports from those of others under the same name. */
  readonly instance: string;
};

/** Sessions that fared alike. */
export type CountedSessions = { readonly policy: ReportedPolicy; readonly result: SessionResult; readonly count: number };

type Reporter = Pick<TlsRptConfig, 'from' | 'organization'>;

/** Equal for every try at sending, and for every endpoint: receivers find duplicates by it. No spaces, no `@`. */
export const reportId = ({ day, domain, instance }: ReportSubject): string => `${isoDay(day)}.${domain}.${instance}`;

const isoDay = (day: number): string => new Date(dayStart(day)).toISOString().slice(0, 10);

/** `sender!policy-domain!begin!end!unique-id.json.gz` (RFC 8460, section 5.1). */
export function reportFilename({ day, domain, instance }: ReportSubject, { from }: Reporter): string {
  const begin = dayStart(day) / 1000;
  return `${from.domain}!${domain}!${begin}!${begin + DAY_LENGTH / 1000 - 1}!${instance}.json.gz`;
}

/** The report as I-JSON text. Sessions of equal policies come together, in the order given. */
export function reportJson(subject: ReportSubject, reporter: Reporter, sessions: readonly CountedSessions[]): string {
  const byPolicy = new Map<string, CountedSessions[]>();
  for (const session of sessions) {
    const key = JSON.stringify(session.policy);
    const found = byPolicy.get(key);
    if (found === undefined) byPolicy.set(key, [session]);
    else found.push(session);
  }
  const end = new Date(dayStart(subject.day + 1) - 1000).toISOString();
  return JSON.stringify({
    'organization-name': reporter.organization,
    'date-range': {
      'start-datetime': seconds(new Date(dayStart(subject.day)).toISOString()),
      'end-datetime': seconds(end),
    },
    'contact-info': mailboxText(reporter.from),
    'report-id': reportId(subject),
    policies: [...byPolicy.values()].map(policyObject),
  });
}

const seconds = (iso: string): string => iso.replace('.000Z', 'Z');

function policyObject(sessions: readonly CountedSessions[]): object {
  const [first] = sessions;
  const failures = sessions.filter(({ result }) => result.kind === 'failure');
  return {
    policy: first === undefined ? {} : describe(first.policy),
    summary: {
      'total-successful-session-count': total(sessions.filter(({ result }) => result.kind === 'success')),
      'total-failure-session-count': total(failures),
    },
    ...(failures.length === 0 ? {} : { 'failure-details': failures.map(failureObject) }),
  };
}

const total = (sessions: readonly CountedSessions[]): number => sessions.reduce((sum, { count }) => sum + count, 0);

/** `mx-host` is an array, as in the RFC's own example (appendix B) and its errata. */
function describe(policy: ReportedPolicy): object {
  const head = { 'policy-type': policy.type };
  switch (policy.type) {
    case 'sts': {
      const mx = policy.mx.length === 0 ? {} : { 'mx-host': policy.mx };
      return { ...head, 'policy-string': policy.lines, 'policy-domain': policy.domain, ...mx };
    }
    case 'tlsa':
      return { ...head, 'policy-string': policy.lines, 'policy-domain': policy.domain, 'mx-host': [policy.domain] };
    case 'no-policy-found':
      return { ...head, 'policy-domain': policy.domain };
  }
}

function failureObject({ result, count }: CountedSessions): object {
  if (result.kind === 'success') return {};
  const { type, sendingIp, mx, ip, reason } = result;
  return {
    'result-type': type,
    ...(sendingIp === null ? {} : { 'sending-mta-ip': sendingIp }),
    ...(mx === null ? {} : { 'receiving-mx-hostname': mx }),
    ...(ip === null ? {} : { 'receiving-ip': ip }),
    'failed-session-count': count,
    ...(reason === null ? {} : { 'failure-reason-code': reason }),
  };
}

/** Everything a report's message is made of. */
export type ReportMailFacts = {
  readonly subject: ReportSubject;
  readonly reporter: Reporter;
  readonly hostname: Config['hostname'];
  /** The report, compressed. */
  readonly compressed: Uint8Array;
  readonly to: Mailbox;
  readonly queueId: QueueId;
  readonly now: Instant;
  /** Random letters and digits. */
  readonly boundarySeed: string;
};

/** Header fields a signature covers, those of RFC 8460, section 5.3, among them. */
export const SIGNED_FIELDS = [
  'From',
  'To',
  'Subject',
  'Date',
  'Message-ID',
  'MIME-Version',
  'Content-Type',
  'TLS-Report-Domain',
  'TLS-Report-Submitter',
  'TLS-Required',
  'Auto-Submitted',
] as const;

/** The message: header and body with CRLF line ends, not dot-stuffed; ready to be signed. */
export function reportMail(facts: ReportMailFacts): string {
  const { subject, reporter, compressed } = facts;
  const submitter = reporter.from.domain;
  const text = `This is an aggregate TLS report from ${submitter}\r\nabout ${subject.domain} on ${isoDay(subject.day)} (UTC), see RFC 8460.\r\n`;
  const filename = reportFilename(subject, reporter);
  const boundary = chooseBoundary(facts.boundarySeed, [Buffer.from(text)]);
  return [
    topFields(facts, boundary),
    `\r\n--${boundary}\r\n`,
    `Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${text}`,
    `\r\n--${boundary}\r\n`,
    'Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n',
    `Content-Disposition: attachment;\r\n filename="${filename}"\r\n\r\n`,
    Buffer.from(compressed)
      .toString('base64')
      .replace(/.{76}(?=.)/g, '$&\r\n'),
    `\r\n--${boundary}--\r\n`,
  ].join('');
}

/** `TLS-Required: No`: a report on broken TLS must arrive despite it (RFC 8460, section 3; RFC 8689, section 5). */
function topFields({ subject, reporter, hostname, to, queueId, now }: ReportMailFacts, boundary: string): string {
  const { domain } = subject;
  const submitter = reporter.from.domain;
  return (
    headerField('Date', mailDate(now)) +
    headerField('From', `<${mailboxText(reporter.from)}>`) +
    headerField('To', `<${mailboxText(to)}>`) +
    headerField('Subject', `Report Domain: ${domain} Submitter: ${submitter} Report-ID: <${reportId(subject)}@${submitter}>`) +
    headerField('Message-ID', `<${queueId}@${hostname}>`) +
    headerField('TLS-Report-Domain', domain) +
    headerField('TLS-Report-Submitter', submitter) +
    headerField('TLS-Required', 'No') +
    headerField('Auto-Submitted', 'auto-generated') +
    headerField('MIME-Version', '1.0') +
    headerField('Content-Type', `multipart/report; report-type="tlsrpt"; boundary="${boundary}"`)
  );
}

/** The message for the queue; `signed` is the text of `reportMail`, a signature before it or not. Nobody hears if it fails. */
export function reportMessage(facts: ReportMailFacts, signed: string): NewMessage {
  const { queueId, now, reporter, to } = facts;
  const wire = Buffer.from(dotStuff(signed));
  return {
    envelope: {
      queueId,
      reversePath: reporter.from,
      origin: { kind: 'report' },
      receivedAt: now,
      sizeBytes: Buffer.byteLength(signed),
      eightBit: isEightBit(wire),
      smtpUtf8: isEightBit(wire),
      requireTls: false,
      tlsRequiredNo: true,
      dsn: { return: null, envelopeId: null },
    },
    recipients: [{ mailbox: to, notify: [], originalRecipient: null }],
    body: { kind: 'memory', wire },
  };
}
