/** Notices as a sender gets them: failures, delays, expiry, successes; who gets none; and DSN wishes passed on (RFC 3461, RFC 3464). */
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fields, type ParsedPart, parseMails } from '../reporting/parsed-mail.ts';
import type { Received } from '../support/lab/journal.ts';
import { connectorTo, type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type Mail, SECRET, submit } from '../support/submit.ts';
import { type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const NAMES = ['tls13', 'rcpt-550', 'rcpt-mixed', 'starttls-absent', 'dsn', 'no-8bitmime'] as const;
const patience = 30_000;

describe('notices', { concurrency: true }, () => {
  let receivers: Receivers<(typeof NAMES)[number]>;
  /** The server of the senders' domain. */
  let home: Receivers<'tls12-only'>;
  let relay: TempRelay;
  before(async () => {
    receivers = await startReceivers(NAMES, 6);
    home = await startReceivers(['tls12-only'], 7);
    const connectors = receivers.all.map((receiver) =>
      connectorTo(receiver, receiver.behaviour === 'starttls-absent' ? { mode: 'encrypt' } : {}),
    );
    relay = await tempRelay({
      yaml: `acceptedDomains: ["*.lab.test"]\nworkers: 1\noutbound:
${[...connectors, connectorTo(home.of('tls12-only'), { domain: 'sender.test' })].join('\n')}`,
      queue: 'retry: [1s]\ndelayNoticeAfter: 1s\nexpireAfter: 5s',
    });
    await relay.start();
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    await relay[Symbol.asyncDispose]();
    await Promise.all([receivers.stop(), home.stop()]);
    assert.equal(code, 0, relay.output());
  });

  const send = async (mail: Mail): Promise<string> => (await submit(relay, mail))[0] ?? '';
  /** The notices that arrived for a sender, once there are as many. */
  const noticesTo = async (from: string, count: number): Promise<readonly Received[]> => {
    const found = (): readonly Received[] =>
      home
        .of('tls12-only')
        .messages()
        .filter(({ recipients }) => recipients[0]?.startsWith(`<${from}>`));
    for (const end = performance.now() + patience; found().length < count && performance.now() < end; ) await sleep(20);
    assert.equal(found().length, count, relay.output());
    return found();
  };
  /** The end of a message's only recipient in the log. */
  const endOf = async (queueId: string): Promise<LogLine> => {
    const found = (): LogLine | undefined =>
      relay.log.find((line) => line['queueId'] === queueId && /^delivery\.(delivered|failed|expired)$/.test(line.event));
    for (const end = performance.now() + patience; found() === undefined && performance.now() < end; ) await sleep(20);
    const line = found();
    assert.ok(line !== undefined, relay.output());
    return line;
  };
  const noticesAbout = (queueId: string): readonly LogLine[] =>
    relay.log.filter((line) => line.event === 'bounce.created' && line['about'] === queueId);

  test('550 at RCPT: a failure notice with the reply', async () => {
    const id = await send({ from: 'fails@sender.test', to: 'nobody@rcpt-550.lab.test', subject: 'original' });
    const [received] = await noticesTo('fails@sender.test', 1);
    assert.ok(received !== undefined);
    assert.match(received.from, /^<>/, 'from the null reverse-path');
    const notice = parse(received);
    assert.equal(notice.type, 'multipart/report');
    assert.match(fields(notice, 'Content-Type')[0] ?? '', /report-type="?delivery-status"?/);
    assert.deepEqual(fields(notice, 'Auto-Submitted'), ['auto-replied']);
    assert.deepEqual(fields(notice, 'To'), ['<fails@sender.test>']);
    const [text, status, original] = notice.parts;
    assert.match(text?.content ?? '', /nobody@rcpt-550\.lab\.test/);
    assert.match(text?.content ?? '', /no such user/);
    const about = recipientOf(status);
    assert.deepEqual(fields(about, 'Final-Recipient'), ['rfc822; nobody@rcpt-550.lab.test']);
    assert.deepEqual([fields(about, 'Action')[0], fields(about, 'Status')[0]], ['failed', '5.1.1']);
    assert.match(fields(about, 'Diagnostic-Code')[0] ?? '', /^smtp; 550 5\.1\.1 no such user/);
    assert.deepEqual(fields(status?.parts[0], 'Reporting-MTA'), ['dns; relay.test']);
    assert.match(original?.content ?? JSON.stringify(original), /Subject: original/);
    assert.doesNotMatch(received.content.toString(), new RegExp(SECRET), 'headers only');
    assert.equal(noticesAbout(id).length, 1);
  });

  test('some recipients fail: the notice is about those alone', async () => {
    await send({ from: 'mixed@sender.test', to: ['good@rcpt-mixed.lab.test', 'bad@rcpt-mixed.lab.test'] });
    const [received] = await noticesTo('mixed@sender.test', 1);
    const status = parse(received).parts[1];
    assert.deepEqual(
      status?.parts.flatMap((part) => fields(part, 'Final-Recipient')),
      ['rfc822; bad@rcpt-mixed.lab.test'],
    );
  });

  test('no notice answers the null reverse-path, or a sender who wants none', async () => {
    const ids = await submit(
      relay,
      { from: '', to: 'nobody@rcpt-550.lab.test' },
      { from: 'never@sender.test', to: 'nobody@rcpt-550.lab.test', rcptParameters: 'NOTIFY=NEVER' },
      { from: 'onlydelay@sender.test', to: 'nobody@rcpt-550.lab.test', rcptParameters: 'NOTIFY=DELAY' },
    );
    for (const id of ids) {
      assert.equal((await endOf(id)).event, 'delivery.failed');
      assert.deepEqual(noticesAbout(id), []);
    }
  });

  test('late mail: one delay notice; at expiry a failure notice with the same number and a 5', async () => {
    const id = await send({ from: 'late@sender.test', to: 'user@starttls-absent.lab.test' });
    const end = await endOf(id);
    assert.deepEqual([end.event, end['status']], ['delivery.expired', '5.4.317']);
    const notices = await noticesTo('late@sender.test', 2);
    const [delay, failure] = notices.map((received) => recipientOf(parse(received).parts[1]));
    assert.deepEqual([fields(delay, 'Action')[0], fields(delay, 'Status')[0]], ['delayed', '4.4.317']);
    assert.equal(fields(delay, 'Will-Retry-Until').length, 1);
    assert.deepEqual([fields(failure, 'Action')[0], fields(failure, 'Status')[0]], ['failed', '5.4.317']);
    assert.match(parse(notices[1]).parts[0]?.content ?? '', /TLS/);
    assert.deepEqual(
      noticesAbout(id).map(({ kind }) => kind),
      ['delay', 'failure'],
    );
    const deferred = relay.log.filter((line) => line.event === 'delivery.deferred' && line['queueId'] === id);
    assert.ok(deferred.length > 1, 'tried several times in between');
    assert.doesNotMatch(receivers.of('starttls-absent').clearText(), new RegExp(`MAIL|${SECRET}`));
  });

  test('ORCPT, ENVID, RET and NOTIFY go on to a server with DSN, which then tells of success itself', async () => {
    const id = await send({
      from: 'dsn@sender.test',
      to: 'user@dsn.lab.test',
      mailParameters: 'RET=HDRS ENVID=QQ314159',
      rcptParameters: 'NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+2Bname@old.test',
    });
    assert.equal((await endOf(id)).event, 'delivery.delivered');
    const [mail] = receivers.of('dsn').eventsOf('mail');
    const [rcpt] = receivers.of('dsn').eventsOf('rcpt');
    assert.match(mail?.argument ?? '', /\bRET=HDRS\b/);
    assert.match(mail?.argument ?? '', /\bENVID=QQ314159\b/);
    assert.match(rcpt?.argument ?? '', /\bNOTIFY=(SUCCESS,FAILURE|FAILURE,SUCCESS)\b/);
    assert.match(rcpt?.argument ?? '', /\bORCPT=rfc822;first\+2Bname@old\.test\b/);
    assert.deepEqual(noticesAbout(id), []);
  });

  test('ENVID and ORCPT come back in a notice', async () => {
    await send({
      from: 'ids@sender.test',
      to: 'nobody@rcpt-550.lab.test',
      mailParameters: 'ENVID=QQ271828',
      rcptParameters: 'ORCPT=rfc822;old@old.test',
    });
    const [received] = await noticesTo('ids@sender.test', 1);
    const status = parse(received).parts[1];
    assert.deepEqual(fields(status?.parts[0], 'Original-Envelope-Id'), ['QQ271828']);
    assert.deepEqual(fields(recipientOf(status), 'Original-Recipient'), ['rfc822; old@old.test']);
  });

  test('NOTIFY=SUCCESS to a server without DSN: a notice says relayed', async () => {
    await send({ from: 'success@sender.test', to: 'user@tls13.lab.test', rcptParameters: 'NOTIFY=SUCCESS' });
    const [received] = await noticesTo('success@sender.test', 1);
    const about = recipientOf(parse(received).parts[1]);
    assert.deepEqual([fields(about, 'Action')[0], fields(about, 'Status')[0]?.[0]], ['relayed', '2']);
  });

  test('a domain that cannot take an 8-bit message: 5.6.3, and the notice is 7-bit', async () => {
    await send({ from: 'eight@sender.test', to: 'user@no-8bitmime.lab.test', subject: 'Grüße', mailParameters: 'BODY=8BITMIME' });
    const [received] = await noticesTo('eight@sender.test', 1);
    assert.deepEqual(fields(recipientOf(parse(received).parts[1]), 'Status'), ['5.6.3']);
    assert.ok(received?.content.every((octet) => octet < 128));
    assert.equal(receivers.of('no-8bitmime').seenMessages().length, 0);
  });
});

function parse(received: Received | undefined): ParsedPart {
  assert.ok(received !== undefined);
  const [notice] = parseMails([received.content]);
  assert.ok(notice !== undefined);
  assert.deepEqual([...notice.defects, ...notice.parts.flatMap(({ defects }) => defects)], []);
  return notice;
}

/** The fields about the first recipient of a delivery-status part; those about the message come before. */
const recipientOf = (status: ParsedPart | undefined): ParsedPart | undefined => {
  assert.equal(status?.type, 'message/delivery-status');
  return status?.parts[1];
};
