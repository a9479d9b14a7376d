/** What an operator does with a running relay: the client commands for people and for machines, exit codes, the guards of the admin API. */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { connectorTo, type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { SECRET, submit } from '../support/submit.ts';
import { type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

type Answer = { readonly status: number; readonly type: string; readonly body: string };

function ask(port: number, path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), body }),
      );
    });
    outgoing.on('error', reject).end();
  });
}

describe('operating a relay', () => {
  let receivers: Receivers<'rcpt-mixed' | 'tls13'>;
  let relay: TempRelay;
  before(async () => {
    receivers = await startReceivers(['rcpt-mixed', 'tls13'], 22);
    relay = await tempRelay({
      yaml: `acceptedDomains: [wait.test]\nworkers: 1\noutbound:
${connectorTo(receivers.of('rcpt-mixed'), { domain: 'wait.test' })}
${connectorTo(receivers.of('tls13'), { domain: 'sender.test' })}`,
      queue: 'retry: [1h]',
    });
    await relay.start();
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    await relay[Symbol.asyncDispose]();
    await receivers.stop();
    assert.equal(code, 0, relay.output());
  });

  /** A message that has had its first 451 and waits. */
  const waiting = async (name: string): Promise<string> => {
    const before = relay.log.filter(({ event }) => event === 'delivery.deferred').length;
    const [id = ''] = await submit(relay, { to: `later-${name}@wait.test`, subject: name });
    await relay.waitForLog('delivery.deferred', before + 1);
    return id;
  };
  const json = async (...words: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, out, err } = await relay.run(...words, '--json');
    assert.equal(code, 0, err);
    return JSON.parse(out) as Record<string, unknown>;
  };
  const stateOf = async (id: string): Promise<unknown> =>
    ((await json('queue', 'show', id))['recipients'] as { state: string }[])[0]?.state;

  test('status: for people and as JSON', async () => {
    const [people, machine] = await Promise.all([relay.run('status'), json('status')]);
    assert.equal(people.code, 0, people.err);
    assert.match(people.out, /^state +ready$/m);
    assert.match(people.out, new RegExp(`127\\.0\\.0\\.1:${relay.port}`));
    assert.doesNotMatch(people.out, /\x1b/, 'no colour where no terminal is');
    assert.deepEqual([machine['ready'], machine['hostname'], machine['pid']], [true, 'relay.test', relay.pid()]);
  });

  test('queue: list, show, body, hold, release, retry, remove, stats', async () => {
    const id = await waiting('one');
    const [list, show, body, stats, entries] = await Promise.all([
      relay.run('queue', 'list'),
      relay.run('queue', 'show', id),
      relay.run('queue', 'body', id),
      relay.run('queue', 'stats'),
      json('queue', 'list', '--domain', 'wait.test'),
    ]);
    for (const { code, err } of [list, show, body, stats]) assert.equal(code, 0, err);
    assert.match(list.out, new RegExp(`${id} .*later-one@wait\\.test.*451|${id} .*4\\.2\\.1`));
    assert.match(show.out, /mailbox busy/);
    assert.match(stats.out, /wait\.test/);
    assert.match(body.out, /^Received: /);
    assert.ok(body.out.endsWith(`Subject: one\r\n\r\n${SECRET}\r\n.dot\r\n`), body.out);
    assert.deepEqual(
      (entries['entries'] as { queueId: string; state: string; attempts: number }[]).map((each) => [
        each.queueId,
        each.state,
        each.attempts,
      ]),
      [[id, 'queued', 1]],
    );

    assert.equal((await relay.run('queue', 'hold', id)).code, 0);
    assert.equal(await stateOf(id), 'held');
    assert.equal((await relay.run('queue', 'retry', id)).code, 1, 'what is held is not retried');
    const held = await relay.run('queue', 'release', id);
    assert.deepEqual([held.code, held.out], [0, '1 recipient released.\n']);
    const deferred = await relay.waitForLog('delivery.deferred', 2);
    assert.deepEqual([deferred[1]?.['queueId'], deferred[1]?.['attempt']], [id, 2]);
    assert.equal((await relay.run('queue', 'retry', '--domain', 'wait.test')).code, 0);
    await relay.waitForLog('delivery.deferred', 3);

    assert.equal((await relay.run('queue', 'remove', id)).code, 0);
    const gone = await relay.run('queue', 'show', id);
    assert.equal(gone.code, 1);
    assert.match(gone.err, /no such message/);
    assert.match((await relay.run('queue', 'list')).out, /Nothing in the queue matches/);
    assert.equal(receivers.of('tls13').messages().length, 0, 'nobody is told of a removal');
  });

  test('queue bounce: the sender is told', async () => {
    const id = await waiting('two');
    assert.equal((await json('queue', 'bounce', id))['recipients'], 1);
    const [notice] = await receivers.of('tls13').waitForMessages(1);
    assert.match(notice?.content.toString() ?? '', /later-two@wait\.test/);
    assert.match(notice?.content.toString() ?? '', /gave up/);
    assert.equal((await relay.run('queue', 'show', id)).code, 1);
  });

  test('wrong usage exits with 2 and says what is right', async () => {
    const rows: readonly (readonly [words: readonly string[], says: RegExp])[] = [
      [['queue', 'hold'], /--domain D, --connector C or --all/],
      [['queue', 'hold', 'AAAA', '--all'], /not several/],
      [['queue', 'list', '--limit', 'many'], /1 to 1000/],
      [['queue', 'list', '--state', 'asleep'], /queued, leased, held/],
      [['queue', 'wipe'], /wipe/],
      [['stauts'], /stauts/],
      [['status', '--colour'], /--colour/],
    ];
    const results = await Promise.all(rows.map(([words]) => relay.run(...words)));
    for (const [at, { code, out, err }] of results.entries()) {
      assert.equal(code, 2, `${rows[at]?.[0].join(' ')}: ${out}${err}`);
      assert.match(err, rows[at]?.[1] ?? /^$/);
      assert.equal(out, '', 'complaints go to standard error');
    }
  });

  test('a relay that does not run: exit 1, and what to do', async () => {
    await using other = await tempRelay({ yaml: 'acceptedDomains: [wait.test]' });
    for (const words of [['status'], ['queue', 'list'], ['queue', 'retry', '--all']]) {
      const { code, err } = await other.run(...words);
      assert.equal(code, 1);
      assert.match(err, new RegExp(`127\\.0\\.0\\.1:${other.adminPort}.*is it running\\?`, 's'));
      assert.doesNotMatch(err, /\bat \S+:\d+:\d+/, 'no stack trace');
    }
  });

  test('check: every problem at once with its place', async () => {
    await using other = await tempRelay({ yaml: '' });
    writeFileSync(
      other.configFile,
      'listeners:\n  - { name: a, adress: "127.0.0.1:2525" }\nqueue: { retry: [soon] }\nouttbound: []\n',
    );
    const [fine, broken] = await Promise.all([relay.run('check'), other.run('check')]);
    assert.equal(fine.code, 0, fine.out);
    assert.match(fine.out, /: ok$/m);
    assert.equal(broken.code, 2);
    const said = broken.out + broken.err;
    for (const problem of [/:2:\d+: .*adress.*address/, /:3:\d+: queue\.retry.*soon/, /:4:1: outtbound.*outbound/])
      assert.match(said, problem);
  });

  test('the admin API: probes, and who is let in', async () => {
    const port = relay.adminPort;
    for (const path of ['/healthz', '/readyz']) assert.equal((await ask(port, path)).status, 200, path);
    const rows: readonly (readonly [headers: Record<string, string>, status: number])[] = [
      [{}, 200],
      [{ Host: `localhost:${port}` }, 200],
      [{ Host: 'attacker.example' }, 403],
      [{ Host: `127.0.0.1.attacker.example:${port}` }, 403],
      [{ Origin: 'https://attacker.example' }, 403],
      [{ Origin: 'null' }, 403],
      [{ Origin: 'http://127.0.0.1:1' }, 403],
      [{ 'Sec-Fetch-Site': 'cross-site' }, 403],
      [{ Host: `127.0.0.1:${port}`, Origin: `http://127.0.0.1:${port}` }, 200],
    ];
    for (const [headers, status] of rows) {
      const answer = await ask(port, '/api/v1/status', headers);
      assert.equal(answer.status, status, JSON.stringify(headers));
      if (status !== 200) assert.match(answer.type, /^application\/problem\+json/);
    }
    const foreign = await ask(port, '/api/v1/queue/actions', { Origin: 'https://attacker.example' }, 'POST');
    assert.equal(foreign.status, 403);
    assert.equal((await ask(port, '/api/v1/queue/actions')).status, 405);
    assert.equal((await ask(port, '/nowhere')).status, 404);
  });
});
