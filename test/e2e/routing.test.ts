/** Where mail goes, through the real process and a real name server: MX order, absence, failures, guards, the choice of connectors. */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDnsServer, type TestDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import { type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { hand, type Mail, openSession, submit } from '../support/submit.ts';
import { freePort, type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const HOSTS = ['tls13', 'tls12-only', 'null-greeting-close', 'greeting-554'] as const;
const [FIRST, SECOND, CLOSES, REFUSES] = ['127.1.20.1', '127.1.20.2', '127.1.20.3', '127.1.20.4'] as const;
/** Nothing listens there. */
const DEAD = '127.1.20.99';

const ZONE: Zone = {
  'ordered.test': {
    mx: [
      [20, 'second.test'],
      [10, 'first.test'],
    ],
  },
  'failover.test': {
    mx: [
      [10, 'dead.test'],
      [20, 'closes.test'],
      [30, 'refuses.test'],
      [40, 'second.test'],
    ],
  },
  'halfnamed.test': {
    mx: [
      [10, 'gone.test'],
      [20, 'first.test'],
    ],
  },
  'implicit.test': { a: [SECOND] },
  'alias.test': { cname: 'ordered.test' },
  'nullmx.test': { mx: [[0, '.']] },
  'empty.test': { cname: 'nothing.test' },
  'nothing.test': {},
  'broken.test': { does: 'servfail' },
  'bogus.test': { does: 'bogus', secure: true },
  'lost.test': { mx: [[10, 'brokenhost.test']] },
  'brokenhost.test': { does: 'servfail' },
  'relayed.test': { mx: [[10, 'first.test']] },
  'first.test': { a: [FIRST] },
  'second.test': { a: [SECOND] },
  'closes.test': { a: [CLOSES] },
  'refuses.test': { a: [REFUSES] },
  'dead.test': { a: [DEAD] },
};

const config = (dnsPort: number, port: number, allowPrivate: boolean): string => `acceptedDomains: ["*.test"]
workers: 1
resolver: { servers: ["127.0.0.1:${dnsPort}"] }
delivery: { port: ${port}, allowPrivateAddresses: ${allowPrivate} }
inbound:
  - { name: office, type: organization, match: { addresses: [127.0.0.9] } }
outbound:
  - name: from-office
    match: { inboundConnector: [office] }
    route: { kind: smarthost, hosts: ["[${SECOND}]:${port}"] }
  - name: by-sender
    match: { senderDomains: [special.test], recipientDomains: [relayed.test] }
    route: { kind: smarthost, hosts: ["second.test:${port}"] }
  - name: refused
    match: { recipientDomains: [forbidden.test, "*.forbidden.test"] }
    route: { kind: reject, text: "no mail to that place" }
  - name: named
    match: { recipientDomains: [named.test] }
    route: { kind: smarthost, hosts: ["mx:failover.test:${port}"] }
  - name: lost-smarthost
    match: { recipientDomains: [nosmarthost.test] }
    route: { kind: smarthost, hosts: ["gone.test:${port}"] }
  - { name: switched-off, enabled: false, route: { kind: reject } }`;

describe('routing', { concurrency: true }, () => {
  let receivers: Receivers<(typeof HOSTS)[number]>;
  let names: TestDnsServer;
  let relay: TempRelay;
  let guarded: TempRelay;
  before(async () => {
    const port = await freePort();
    receivers = await startReceivers(HOSTS, 20, { port });
    names = await startDnsServer(ZONE);
    [relay, guarded] = (await Promise.all(
      [true, false].map((allow) => tempRelay({ yaml: config(names.port, port, allow) })),
    )) as [TempRelay, TempRelay];
    await Promise.all([relay.start(), guarded.start()]);
  });
  after(async () => {
    const codes = await Promise.all([relay.kill('SIGTERM'), guarded.kill('SIGTERM')]);
    await relay[Symbol.asyncDispose]();
    await guarded[Symbol.asyncDispose]();
    await receivers.stop();
    await names[Symbol.asyncDispose]();
    assert.deepEqual(codes, [0, 0], relay.output());
  });

  /** What became of a message at its first attempt. */
  const outcome = async (queueId: string | undefined, of = relay): Promise<LogLine> => {
    const found = (): LogLine | undefined =>
      of.log.find((line) => line['queueId'] === queueId && line.event.startsWith('delivery.'));
    for (const end = performance.now() + 30_000; found() === undefined && performance.now() < end; ) await sleep(20);
    const line = found();
    assert.ok(line !== undefined, of.output());
    return line;
  };
  const sent = async (mail: Mail, by = relay): Promise<LogLine> => outcome((await submit(by, mail))[0], by);

  const delivered: readonly (readonly [what: string, to: string, mx: string, connector: string])[] = [
    ['the lower preference first', 'ordered.test', 'first.test', 'default'],
    ['the next MX where one is dead, closes or refuses', 'failover.test', 'second.test', 'default'],
    ['the next MX where one has no address', 'halfnamed.test', 'first.test', 'default'],
    ['without MX records the address of the domain', 'implicit.test', 'implicit.test', 'default'],
    ['an alias: where its target gets mail', 'alias.test', 'first.test', 'default'],
    ['a smarthost "mx:…" by the MX records of that name', 'named.test', 'second.test', 'named'],
  ];
  for (const [what, domain, mx, connector] of delivered)
    test(`${what}: ${domain} -> ${mx}`, async () => {
      const line = await sent({ to: `user@${domain}` });
      assert.equal(line.event, 'delivery.delivered', JSON.stringify(line));
      assert.deepEqual([line['mx'], line['connector']], [mx, connector]);
    });

  const failed: readonly (readonly [domain: string, event: string, status: string, text: RegExp])[] = [
    ['nullmx.test', 'failed', '5.1.10', /takes no mail \(null MX\)/],
    ['nowhere.test', 'failed', '5.1.2', /nowhere\.test does not exist/],
    ['empty.test', 'failed', '5.1.2', /neither MX nor address records/],
    ['broken.test', 'deferred', '4.4.3', /could not find out/],
    ['bogus.test', 'deferred', '4.7.324', /DNSSEC validation/],
    ['lost.test', 'deferred', '4.4.3', /brokenhost\.test/],
    ['forbidden.test', 'failed', '5.7.1', /no mail to that place/],
    ['deep.forbidden.test', 'failed', '5.7.1', /no mail to that place/],
    ['nosmarthost.test', 'deferred', '4.4.4', /connector lost-smarthost/],
  ];
  for (const [domain, event, status, text] of failed)
    test(`${domain}: ${event} ${status}`, async () => {
      const line = await sent({ to: `user@${domain}`, from: '' });
      assert.deepEqual([line.event, line['status']], [`delivery.${event}`, status], JSON.stringify(line));
      assert.match(String(line['text']), text);
    });

  test('an MX that points into private space is not dialled', async () => {
    const mx = await sent({ to: 'user@implicit.test', from: '' }, guarded);
    assert.deepEqual([mx.event, mx['status']], ['delivery.failed', '5.4.4'], JSON.stringify(mx));
    assert.match(String(mx['text']), /127\.1\.20\.2 is .*loopback/);
  });

  test('smarthosts may be private: the operator named them', async () => {
    const line = await sent({ to: 'user@relayed.test', from: 'user@special.test' }, guarded);
    assert.deepEqual([line.event, line['connector'], line['mx']], ['delivery.delivered', 'by-sender', 'second.test']);
  });

  test('connectors are chosen by sender and by inbound connector, else the default', async () => {
    const [plain, special] = await submit(
      relay,
      { to: 'user@relayed.test' },
      { to: 'user@relayed.test', from: 'user@special.test' },
    );
    assert.deepEqual([(await outcome(plain))['connector'], (await outcome(plain))['mx']], ['default', 'first.test']);
    assert.deepEqual([(await outcome(special))['connector'], (await outcome(special))['mx']], ['by-sender', 'second.test']);
    const office = await openSession(relay, '127.0.0.9');
    const id = await hand(office, { to: 'anyone@elsewhere.example' });
    await office.quit();
    const line = await outcome(id);
    assert.deepEqual([line.event, line['connector'], line['ip']], ['delivery.delivered', 'from-office', SECOND]);
  });
});
