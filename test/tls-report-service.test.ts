/**
 * TLS reports over days of a clock: counted, kept, asked for, mailed into the real queue and posted to a real HTTPS endpoint, tried
 * again for a day and no longer.
 */
import { strict as assert } from 'node:assert';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Domain } from '../src/domain/address.ts';
import type { Instant } from '../src/domain/basics.ts';
import type { Config, TlsRptConfig } from '../src/domain/config.ts';
import type { Claim } from '../src/domain/queue.ts';
import type { SessionCount, SessionResult } from '../src/domain/tls-report.ts';
import { openQueueIds } from '../src/platform/queue-ids.ts';
import { dayOf } from '../src/reporting/tls-rpt-policy.ts';
import { openTlsReports, type TlsReportService } from '../src/tls-report-service.ts';
import { inProcessSpool } from './spool/in-process.ts';
import { type TestClock, testClock } from './support/clock.ts';
import { startDnsServer } from './support/dns-server.ts';
import type { Zone } from './support/dns-zone.ts';
import { checkLeaks } from './support/leak-check.ts';
import { readReport, readReportMail, startReportHost, verifyDkim } from './support/tls-reports.ts';

checkLeaks();

const HOUR = 3_600_000;
const domain = 'partner.test' as Domain;
const folder = mkdtempSync(join(tmpdir(), 'postern-reports-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
const keyFile = join(folder, 'dkim.pem');
writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }));

const TLS_RPT: TlsRptConfig = { from: { localPart: 'tls', domain: 'sender.test' as Domain }, organization: 'Sender', dkim: null };
const failure: SessionResult = {
  kind: 'failure',
  type: 'starttls-not-supported',
  reason: null,
  sendingIp: null,
  mx: 'mx.partner.test',
  ip: '127.0.0.1',
};
const counts = (clock: TestClock, count = 2): readonly SessionCount[] => {
  const head = { day: dayOf(clock.now()), reportDomain: domain, policy: JSON.stringify({ type: 'no-policy-found', domain }) };
  return [
    { ...head, result: JSON.stringify({ kind: 'success' }), count },
    { ...head, result: JSON.stringify(failure), count: 1 },
  ];
};

let worlds = 0;
/** A main thread's surroundings, in a name server's zone. */
async function openWorld(zone: Zone, { tlsRpt = TLS_RPT, ca = [] as string[] } = {}) {
  const clock = testClock(Date.UTC(2026, 0, 1, 12));
  const dns = await startDnsServer(zone);
  const queue = await inProcessSpool();
  const spool = queue.connect();
  const lines: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
  const tell = (event: string, fields: Readonly<Record<string, unknown>>): void => void lines.push({ event, fields });
  const path = join(folder, `reports-${++worlds}.db`);
  const reports: { tlsRpt: TlsRptConfig | null } = { tlsRpt };
  const config = {
    hostname: 'relay.sender.test' as Domain,
    reports,
    resolver: { servers: [`127.0.0.1:${dns.port}`], dnssec: 'off' },
    delivery: { port: 25, ipv6: false, allowPrivateAddresses: true },
  } as unknown as Config;
  const open = (): TlsReportService =>
    openTlsReports({
      path,
      clock,
      random: () => 0.5,
      spool,
      log: { debug: tell, info: tell, warn: tell, error: tell },
      newQueueId: openQueueIds(clock),
      config: () => config,
      trust: () => ({ system: false, pem: ca }),
    });
  let service = open();
  // What it looks for when it starts: nothing is due yet.
  await service.sendDue();
  return {
    clock,
    dns,
    reports,
    lines,
    service: () => service,
    events: () => lines.map(({ event }) => event),
    /** Ends the service and starts it on the same file. */
    async restart() {
      await service.close();
      service = open();
      await service.sendDue();
    },
    /** What lies in the queue. */
    async queued(): Promise<readonly Claim[]> {
      const ending = AbortSignal.timeout(200);
      return spool.claim({ limit: 10, perDestination: 10, except: [], leaseFor: HOUR }, ending);
    },
    async [Symbol.asyncDispose]() {
      await service.close();
      await queue[Symbol.asyncDispose]();
      await dns[Symbol.asyncDispose]();
    },
  };
}
type World = Awaited<ReturnType<typeof openWorld>>;

const textOf = (claim: Claim | undefined): string => {
  assert.ok(claim?.body.kind === 'memory');
  return Buffer.from(claim.body.wire).toString().replaceAll('\r\n..', '\r\n.');
};
/** Sessions at noon, and the afternoon after they are due. */
async function dayAfter(world: World): Promise<void> {
  world.service().take(counts(world.clock));
  world.clock.advance(24 * HOUR);
  await world.service().sendDue();
}
const record = (...uris: readonly string[]): Zone => ({
  [`_smtp._tls.${domain}`]: { txt: [[`v=TLSRPTv1; rua=${uris.join(',')}`]] },
});
const MAIL = 'mailto:reports@partner.test';

test('nothing is asked or sent before the day is over and the hour has come', async () => {
  await using world = await openWorld(record(MAIL));
  world.service().take(counts(world.clock));
  world.clock.advance(12 * HOUR);
  await world.service().sendDue();
  assert.deepEqual([world.dns.seen.length, await world.queued()], [0, []]);
  world.clock.advance(3 * HOUR);
  await world.service().sendDue();
  assert.equal((await world.queued()).length, 1);
});

test('mail: the report is queued once, waives TLS, says what was counted by all threads and before a restart', async () => {
  await using world = await openWorld(record(MAIL));
  world.service().take(counts(world.clock));
  world.service().take(counts(world.clock, 5));
  await world.restart();
  world.service().take(counts(world.clock, 3));
  world.clock.advance(24 * HOUR);
  await Promise.all([world.service().sendDue(), world.service().sendDue()]);
  await world.restart();
  await world.service().sendDue();
  const [mail, ...more] = await world.queued();
  assert.equal(more.length, 0);
  assert.deepEqual(mail?.envelope.origin, { kind: 'report' });
  assert.equal(mail?.envelope.tlsRequiredNo, true);
  assert.equal(mail?.recipients[0].recipient.mailbox.localPart, 'reports');
  const { report, head } = readReportMail(textOf(mail));
  assert.match(head, /^TLS-Required: No$/m);
  assert.deepEqual(report['date-range'], { 'start-datetime': '2026-01-01T00:00:00Z', 'end-datetime': '2026-01-01T23:59:59Z' });
  assert.deepEqual(report.policies, [
    {
      policy: { 'policy-type': 'no-policy-found', 'policy-domain': domain },
      summary: { 'total-successful-session-count': 10, 'total-failure-session-count': 3 },
      'failure-details': [
        {
          'result-type': 'starttls-not-supported',
          'sending-mta-ip': '127.0.0.1',
          'receiving-mx-hostname': 'mx.partner.test',
          'receiving-ip': '127.0.0.1',
          'failed-session-count': 3,
        },
      ],
    },
  ]);
});

test('mail is signed where a key is configured', async () => {
  const dkim = { domain: 'sender.test' as Domain, selector: 'tlsrpt', key: keyFile };
  await using world = await openWorld(record(MAIL), { tlsRpt: { ...TLS_RPT, dkim } });
  await dayAfter(world);
  const [mail] = await world.queued();
  const tags = verifyDkim(textOf(mail), publicKey);
  assert.deepEqual([tags['d'], tags['s'], tags['a'], tags['l']], ['sender.test', 'tlsrpt', 'rsa-sha256', undefined]);
  for (const name of ['from', 'to', 'subject', 'date', 'tls-report-domain', 'tls-report-submitter', 'tls-required'])
    assert.ok((tags['h'] ?? '').split(':').includes(name), name);
  assert.ok(readReportMail(textOf(mail)));
});

test('mail is not sent unsigned because the key is gone: it waits', async () => {
  const dkim = { domain: 'sender.test' as Domain, selector: 'tlsrpt', key: join(folder, 'none.pem') };
  await using world = await openWorld(record(MAIL), { tlsRpt: { ...TLS_RPT, dkim } });
  await dayAfter(world);
  assert.deepEqual(await world.queued(), []);
  assert.deepEqual(world.events(), ['tls-report.deferred']);
});

test('https: posted compressed, with the certificate verified', async () => {
  await using host = await startReportHost('reports.partner.test');
  const zone = { ...record(`https://reports.partner.test:${host.port}/v1?x=1`), 'reports.partner.test': { a: ['127.0.0.1'] } };
  await using world = await openWorld(zone, { ca: [host.caPem] });
  await dayAfter(world);
  const [posted, ...more] = host.posted;
  assert.equal(more.length, 0);
  assert.deepEqual([posted?.method, posted?.url], ['POST', '/v1?x=1']);
  assert.equal(posted?.headers['content-type'], 'application/tlsrpt+gzip');
  assert.equal(posted?.headers.host, `reports.partner.test:${host.port}`);
  const report = readReport(gunzipSync(posted?.body ?? Buffer.alloc(0)).toString());
  assert.equal(report.policies[0]?.summary['total-successful-session-count'], 2);
  assert.deepEqual(world.events(), ['tls-report.sent']);
});

test('https: a certificate for another name, or of nobody, gets nothing', async () => {
  await using host = await startReportHost('other.partner.test');
  const zone = { ...record(`https://reports.partner.test:${host.port}/`), 'reports.partner.test': { a: ['127.0.0.1'] } };
  for (const ca of [[host.caPem], []]) {
    await using world = await openWorld(zone, { ca });
    await dayAfter(world);
    assert.deepEqual(world.events(), ['tls-report.deferred']);
  }
  assert.equal(host.posted.length, 0);
});

test('an endpoint that fails is tried for a day, with the same report, and then dropped; the other has its report at once', async () => {
  await using host = await startReportHost('reports.partner.test');
  host.status = 503;
  const zone = { ...record(`https://reports.partner.test:${host.port}/`, MAIL), 'reports.partner.test': { a: ['127.0.0.1'] } };
  await using world = await openWorld(zone, { ca: [host.caPem] });
  await dayAfter(world);
  assert.equal((await world.queued()).length, 1);
  for (let hours = 0; hours < 30; hours += 1) {
    world.clock.advance(HOUR);
    await world.service().sendDue();
  }
  assert.equal(world.events().at(-1), 'tls-report.dropped');
  const tries = host.posted.length;
  assert.ok(tries > 5 && tries < 15);
  const ids = host.posted.map(({ body }) => readReport(gunzipSync(body).toString())['report-id']);
  assert.equal(new Set(ids).size, 1);
  world.clock.advance(24 * HOUR);
  await world.service().sendDue();
  assert.equal(host.posted.length, tries);
});

test('an endpoint that recovers gets its report', async () => {
  await using host = await startReportHost('reports.partner.test');
  host.status = 500;
  const zone = { ...record(`https://reports.partner.test:${host.port}/`), 'reports.partner.test': { a: ['127.0.0.1'] } };
  await using world = await openWorld(zone, { ca: [host.caPem] });
  await dayAfter(world);
  host.status = 201;
  await world.restart();
  world.clock.advance(HOUR);
  await world.service().sendDue();
  assert.deepEqual(world.events(), ['tls-report.deferred', 'tls-report.sent']);
});

const UNWANTED: Readonly<Record<string, Zone>> = {
  'no record': {},
  'a record of another kind': { [`_smtp._tls.${domain}`]: { txt: [['v=spf1 -all']] } },
  'two records': { [`_smtp._tls.${domain}`]: { txt: [[`v=TLSRPTv1; rua=${MAIL}`], [`v=TLSRPTv1; rua=${MAIL}`]] } },
  'no endpoint we know': record('ftp://reports.partner.test/'),
};
for (const [what, zone] of Object.entries(UNWANTED))
  test(`${what}: nothing is sent, and the domain is not asked again`, async () => {
    await using world = await openWorld(zone);
    await dayAfter(world);
    const asked = world.dns.seen.length;
    assert.equal(asked, 1);
    world.clock.advance(24 * HOUR);
    await world.service().sendDue();
    assert.deepEqual([world.dns.seen.length, await world.queued()], [asked, []]);
  });

test('a name server that fails is asked again', async () => {
  await using world = await openWorld({ [`_smtp._tls.${domain}`]: { does: 'servfail' } });
  await dayAfter(world);
  world.dns.zone[`_smtp._tls.${domain}`] = { txt: [[`v=TLSRPTv1; rua=${MAIL}`]] };
  world.clock.advance(HOUR);
  await world.service().sendDue();
  assert.equal((await world.queued()).length, 1);
});

test('switched off, nothing is counted and nothing sent; what was counted before waits', async () => {
  await using world = await openWorld(record(MAIL));
  world.service().take(counts(world.clock));
  world.reports.tlsRpt = null;
  world.service().take(counts(world.clock, 100));
  world.clock.advance(24 * HOUR);
  await world.service().sendDue();
  assert.deepEqual(await world.queued(), []);
  world.reports.tlsRpt = TLS_RPT;
  await world.service().sendDue();
  const [mail] = await world.queued();
  const { policies } = readReportMail(textOf(mail)).report;
  assert.equal(policies[0]?.summary['total-successful-session-count'], 2);
});

test('the report id is a day’s, a domain’s and a relay’s', async () => {
  await using world = await openWorld(record(MAIL));
  await dayAfter(world);
  await dayAfter(world);
  const ids = (await world.queued()).map((mail) => readReportMail(textOf(mail)).report['report-id']);
  assert.equal(new Set(ids).size, 2);
  assert.ok(ids.every((id) => /^2026-01-0[12]\.partner\.test\.[0-9a-z]+$/.test(id)));
  assert.equal(dayOf(Date.UTC(2026, 0, 1) as Instant), 20_454);
});
