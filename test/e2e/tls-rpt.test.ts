/**
 * TLS reports through the real relay: mail meets hosts without STARTTLS, with good TLS and with TLSA records that do not match; the
 * day ends (in the file of counts, while the relay stands still), and the reports arrive at the very same hosts.
 */
import { strict as assert } from 'node:assert';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { startDnsServer, type TestDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import type { Received } from '../support/lab/journal.ts';
import { type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { submit } from '../support/submit.ts';
import { freePort, type TempRelay, tempRelay } from '../support/temp-relay.ts';
import { type ReadReport, readReportMail, verifyDkim } from '../support/tls-reports.ts';

checkLeaks();

const NAMES = ['starttls-absent', 'tls13', 'self-signed'] as const;
const [CLEAR, GOOD, DANE] = ['clear.rpt.test', 'good.rpt.test', 'dane.rpt.test'] as const;
const HOST = { [CLEAR]: 'starttls-absent', [GOOD]: 'tls13', [DANE]: 'self-signed' } as const;
const DOMAINS = [CLEAR, GOOD, DANE] as const;
/** Wants no reports. */
const SILENT = 'silent.rpt.test';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });

let receivers: Receivers<(typeof NAMES)[number]>;
let dns: TestDnsServer;
let relay: TempRelay;

function zone(port: number): Zone {
  const names: Zone = { [SILENT]: { mx: [[0, 'tls13.lab.test']] } };
  for (const domain of DOMAINS) {
    names[domain] = { mx: [[0, `${HOST[domain]}.lab.test`]], secure: domain === DANE };
    names[`_smtp._tls.${domain}`] = { txt: [[`v=TLSRPTv1; rua=mailto:reports@${domain}`]] };
  }
  for (const { hostname, address } of receivers.all) names[hostname] = { a: [address], secure: hostname.startsWith('self') };
  names[`_${port}._tcp.self-signed.lab.test`] = { tlsa: [[3, 1, 1, '00'.repeat(32)]], secure: true };
  return names;
}

describe('TLS reports', () => {
  before(async () => {
    const port = await freePort();
    receivers = await startReceivers(NAMES, 21, { port });
    dns = await startDnsServer(zone(port));
    relay = await tempRelay({
      queue: 'retry: [1h]',
      yaml: `acceptedDomains: ["*.rpt.test"]
workers: 2
delivery: { port: ${port}, allowPrivateAddresses: true }
resolver: { servers: ["${dns.address}:${dns.port}"], dnssec: trust }
tls: { mtaSts: "off" }
reports: { tlsRpt: { enabled: true, from: tls@sender.test, organization: Sender, dkim: { domain: sender.test, selector: s1, key: certs/dkim.pem } } }`,
    });
    mkdirSync(join(relay.folder, 'certs'));
    writeFileSync(join(relay.folder, 'certs', 'dkim.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await relay.start();
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    const output = relay.output();
    await relay[Symbol.asyncDispose]();
    await Promise.all([dns[Symbol.asyncDispose](), receivers.stop()]);
    assert.equal(code, 0, output);
  });

  const inCounts = <T>(work: (database: DatabaseSync) => T): T => {
    const database = new DatabaseSync(join(relay.folder, 'data', 'tls-reports.db'));
    try {
      return work(database);
    } finally {
      database.close();
    }
  };

  /** Messages from here on reports: those with the sender's address in the envelope. */
  const reportAt = (domain: (typeof DOMAINS)[number]): Received => {
    const found = receivers
      .of(HOST[domain])
      .messages()
      .filter(({ from }) => from.startsWith('<tls@sender.test>'));
    assert.equal(found.length, 1, `${found.length} reports for ${domain}`);
    return found[0] ?? assert.fail();
  };
  const sums = ({ policies: [first] }: ReadReport): readonly (number | undefined)[] => [
    first?.summary['total-successful-session-count'],
    first?.summary['total-failure-session-count'],
  ];

  test('a day of mail: connections are counted, not messages', async () => {
    await submit(relay, { to: `a@${CLEAR}` }, { to: `a@${GOOD}` }, { to: `a@${DANE}` }, { to: `a@${SILENT}` });
    await relay.waitForLog('delivery.delivered', 3);
    // Over kept connections, or over new ones that count: never over kept ones that count again.
    for (let more = 4; more < 9; more += 1) {
      await submit(relay, { to: `a@${GOOD}` });
      await relay.waitForLog('delivery.delivered', more);
    }
    const [deferred] = await relay.waitForLog('delivery.deferred');
    assert.equal(deferred?.['status'], '4.7.323');
    assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
    const rows = inCounts((database) => database.prepare('SELECT domain, sum(count) AS n FROM sessions GROUP BY domain').all());
    const connections = (name: (typeof NAMES)[number]): number => receivers.of(name).eventsOf('connection').length;
    const counted = Object.fromEntries(rows.map(({ domain, n }) => [String(domain), Number(n)]));
    assert.equal(counted[CLEAR], connections('starttls-absent'));
    assert.equal(counted[DANE], connections('self-signed'));
    assert.equal((counted[GOOD] ?? 0) + (counted[SILENT] ?? 0), connections('tls13'));
  });

  test('a day later the reports arrive: signed, despite STARTTLS stripped and TLSA records that do not match', async () => {
    inCounts((database) => database.exec('UPDATE sessions SET day = day - 1; UPDATE tasks SET day = day - 1, due = 0'));
    const delivered = relay.log.filter(({ event }) => event === 'delivery.delivered').length;
    await relay.start();
    await relay.waitForLog('tls-report.sent', 3);
    await relay.waitForLog('delivery.delivered', delivered + 3);
    const reports = DOMAINS.map((domain) => {
      const text = reportAt(domain).content.toString();
      const tags = verifyDkim(text, createPublicKey(privateKey));
      assert.deepEqual([tags['d'], tags['s']], ['sender.test', 's1']);
      const { head, report } = readReportMail(text);
      assert.match(head, new RegExp(`^TLS-Report-Domain: ${domain}$`, 'm'));
      return report;
    });
    const [clear, good, dane] = reports;
    assert.ok(clear !== undefined && good !== undefined && dane !== undefined);
    assert.equal(reportAt(CLEAR).tls, null);
    assert.notEqual(reportAt(DANE).tls, null);

    assert.deepEqual(sums(clear), [0, 1]);
    const [detail] = clear.policies[0]?.['failure-details'] ?? [];
    assert.deepEqual(detail, {
      'result-type': 'starttls-not-supported',
      'sending-mta-ip': detail?.['sending-mta-ip'],
      'receiving-mx-hostname': 'starttls-absent.lab.test',
      'receiving-ip': '127.1.21.1',
      'failed-session-count': 1,
    });
    const [successes = 0, failures] = sums(good);
    assert.ok(successes >= 1 && failures === 0);
    assert.deepEqual(good.policies[0]?.policy, { 'policy-type': 'no-policy-found', 'policy-domain': GOOD });
    assert.deepEqual(sums(dane), [0, 1]);
    assert.deepEqual(dane.policies[0]?.policy, {
      'policy-type': 'tlsa',
      'policy-string': [`3 1 1 ${'00'.repeat(32)}`],
      'policy-domain': 'self-signed.lab.test',
      'mx-host': ['self-signed.lab.test'],
    });
    assert.equal(dane.policies[0]?.['failure-details']?.[0]?.['failure-reason-code'], 'tlsa-mismatch');
  });

  test('deliveries of reports are never counted, and no report is sent about them or twice', async () => {
    assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
    const left = inCounts((database) => [
      database.prepare('SELECT * FROM sessions').all(),
      database.prepare('SELECT * FROM tasks').all(),
    ]);
    assert.deepEqual(left, [[], []]);
    await relay.start();
    assert.equal(relay.log.filter(({ event }) => event === 'tls-report.sent').length, 3);
  });
});
