import { strict as assert } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { startAdminServer } from '../../src/admin/http-server.ts';
import { err, type Instant } from '../../src/domain/basics.ts';
import { NOW, RECEIVED } from '../reporting/facts.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { ask, FIRST, post, STATUS, startFixture } from './fakes.ts';

checkLeaks();

/** Every error is a problem document that carries its status. */
function assertProblem(
  answer: { readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly text: string },
  status: number,
): string {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.headers['content-type'], 'application/problem+json');
  const problem: { status: number; title: string; detail: string } = JSON.parse(answer.text);
  assert.equal(problem.status, status);
  assert.ok(problem.title.length > 0 && problem.detail.length > 0);
  return problem.detail;
}

test('status and queue answer with their documents and careful headers', async () => {
  await using relay = await startFixture();
  const status = await ask(relay.port, '/api/v1/status');
  assert.deepEqual(JSON.parse(status.text), STATUS);
  assert.equal(status.headers['cache-control'], 'no-store');
  assert.equal(status.headers['x-content-type-options'], 'nosniff');
  assert.match(String(status.headers['content-security-policy']), /default-src 'none'/);
  const page = await ask(
    relay.port,
    '/api/v1/queue?domain=Example.NET.&limit=2&state=queued&connector=default&from=alice%40example.org',
  );
  const { entries, total }: { entries: Record<string, unknown>[]; total: number } = JSON.parse(page.text);
  assert.equal(total, 2);
  assert.equal(entries[0]?.['due'], '2026-01-02T03:05:05.000Z');
  const filter = { domain: 'example.net', state: 'queued', connector: 'default', from: 'alice@example.org' };
  assert.deepEqual(relay.queue.asked, [{ filter, limit: 2 }]);
  assert.equal(JSON.parse((await ask(relay.port, '/api/v1/queue/stats')).text).messages, 3);
});

test('a message and its body, without stuffing; 404 for one that is not there', async () => {
  await using relay = await startFixture();
  const message: { recipients: unknown[]; from: string } = JSON.parse((await ask(relay.port, `/api/v1/queue/${FIRST}`)).text);
  assert.deepEqual([message.from, message.recipients.length], ['alice@example.org', 2]);
  const body = await ask(relay.port, `/api/v1/queue/${FIRST}/body`);
  assert.equal(body.text, 'Subject: x\r\n\r\n.dot\r\n\x1b[2J\r\n');
  assert.equal(body.headers['content-type'], 'message/rfc822');
  assert.equal((await ask(relay.port, `/api/v1/queue/${FIRST}/body`, { method: 'HEAD' })).text, '');
  for (const path of [
    '/api/v1/queue/01KDXJ0000000000000000000Z',
    '/api/v1/queue/01KDXJ0000000000000000000Z/body',
    '/nothing',
    '/api/v1/queue/..%2f',
    '//evil/healthz2',
  ]) {
    assertProblem(await ask(relay.port, path), 404);
  }
});

test('a large body comes from its file, unstuffed across pieces; 404 where the file has gone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-admin-'));
  t.after(() => rm(folder, { recursive: true }));
  await using relay = await startFixture();
  const lines = `${'x'.repeat(61)}\r\n`.repeat(1040);
  const wire = `y\r\n${lines.slice(0, 65_530)}\r\n..at the seam\r\n${lines}`;
  await writeFile(join(folder, 'body'), wire);
  relay.queue.bodies.set('01KDXJ000000000000000000F1', { kind: 'file', path: join(folder, 'body'), wireBytes: wire.length });
  relay.queue.bodies.set('01KDXJ000000000000000000F2', { kind: 'file', path: join(folder, 'gone'), wireBytes: 5 });
  const body = await ask(relay.port, '/api/v1/queue/01KDXJ000000000000000000F1/body');
  assert.equal(body.text, wire.replace('\n..at', '\n.at'));
  assertProblem(await ask(relay.port, '/api/v1/queue/01KDXJ000000000000000000F2/body'), 404);
});

test('actions reach the queue and leave an audit line', async () => {
  await using relay = await startFixture();
  assert.deepEqual(JSON.parse((await post(relay.port, { action: 'hold', ids: [FIRST] })).text), {
    action: 'hold',
    recipients: 2,
  });
  assert.deepEqual(JSON.parse((await post(relay.port, { action: 'bounce', domain: 'example.net' })).text), {
    action: 'bounce',
    recipients: 1,
  });
  assert.deepEqual(JSON.parse((await post(relay.port, { action: 'retry', all: true })).text), { action: 'retry', recipients: 3 });
  assert.deepEqual(relay.queue.asked, [
    { action: 'hold', filter: { queueIds: [FIRST] } },
    { action: 'bounce', filter: { domain: 'example.net' } },
    { action: 'retry', filter: {} },
  ]);
  assert.deepEqual(
    relay.events.map(([event, { action, recipients }]) => [event, action, recipients]),
    [
      ['queue.action', 'hold', 2],
      ['queue.action', 'bounce', 1],
      ['queue.action', 'retry', 3],
    ],
  );
});

const BAD_ACTIONS: readonly [document: unknown, detail: RegExp][] = [
  [{ action: 'hold' }, /exactly one of/],
  [{ action: 'hold', all: true, domain: 'a.example' }, /exactly one of/],
  [{ action: 'hold', all: false }, /all: true/],
  [{ action: 'explode', all: true }, /action: explode is none of/],
  [{ action: 'hold', ids: [] }, /1 to 1000/],
  [{ action: 'hold', ids: ['../x'] }, /not a queue id/],
  [{ action: 'hold', ids: [7] }, /not a queue id/],
  [{ action: 'hold', domain: 'no domain' }, /not a domain/],
  [{ action: 'hold', colour: 'red' }, /colour: not known/],
  [{ action: 'hold', constructor: 'x' }, /not known/],
  [[], /an object/],
];
test('actions that are not understood change nothing', async () => {
  await using relay = await startFixture();
  for (const [document, detail] of BAD_ACTIONS) assert.match(assertProblem(await post(relay.port, document), 400), detail);
  assert.deepEqual(relay.queue.asked, []);
});

test('queries that are not understood are refused by name', async () => {
  await using relay = await startFixture();
  for (const query of [
    'limit=0',
    'limit=1001',
    'limit=1e3',
    'colour=red',
    'state=gone',
    'domain=a%20b',
    'domain=a&domain=b',
    'toString=1',
  ]) {
    assertProblem(await ask(relay.port, `/api/v1/queue?${query}`), 400);
  }
});

test('POST needs JSON of a bounded size; other methods are refused', async () => {
  await using relay = await startFixture();
  const path = '/api/v1/queue/actions';
  const json = { 'content-type': 'application/json' };
  assertProblem(await ask(relay.port, path, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' }), 415);
  assertProblem(await ask(relay.port, path, { method: 'POST', headers: json, body: '{' }), 400);
  assertProblem(await ask(relay.port, path, { method: 'POST', headers: json, body: ' '.repeat(70_000) }), 413);
  assertProblem(await ask(relay.port, path), 405);
  assertProblem(await ask(relay.port, '/api/v1/queue', { method: 'DELETE' }), 405);
});

const LOCAL: readonly [name: string, headers: Readonly<Record<string, string>>, status: number][] = [
  ['plain', {}, 200],
  ['localhost', { host: 'localhost:8025' }, 200],
  ['IPv6', { host: '[::1]:8025' }, 200],
  ['rebound name', { host: 'evil.example:8025' }, 403],
  ['a name like an address', { host: '127.0.0.1.evil.example' }, 403],
  ['its own page', { host: 'localhost:8025', origin: 'http://localhost:8025' }, 200],
  ['a page of another site', { origin: 'https://evil.example' }, 403],
  ['a page of another port', { host: 'localhost:8025', origin: 'http://localhost:3000' }, 403],
  ['a sandboxed page', { origin: 'null' }, 403],
  ['an image on another site', { 'sec-fetch-site': 'cross-site' }, 403],
  ['typed in', { 'sec-fetch-site': 'none' }, 200],
];
for (const [name, headers, status] of LOCAL) {
  test(`without a token: ${name} -> ${status}`, async () => {
    await using relay = await startFixture();
    const answer = await ask(relay.port, '/api/v1/status', { headers });
    if (status === 200) assert.equal(answer.status, 200);
    else assertProblem(answer, status);
    const acted = await post(relay.port, { action: 'retry', all: true }, headers);
    assert.equal(acted.status, status);
    assert.equal(relay.queue.asked.length, status === 200 ? 1 : 0);
  });
}

const TOKEN = 'correct horse battery staple'.replaceAll(' ', '-');
const BEARERS: readonly [authorization: string | null, status: number, health: number][] = [
  [`Bearer ${TOKEN}`, 200, 200],
  [`bearer  ${TOKEN}`, 200, 200],
  [null, 401, 200],
  ['Bearer wrong', 401, 401],
  [`Basic ${TOKEN}`, 401, 401],
  [`Bearer ${TOKEN}x`, 401, 401],
];
for (const [authorization, status, health] of BEARERS) {
  test(`with a token: ${authorization ?? 'nothing'} -> ${status}`, async () => {
    await using relay = await startFixture({ token: TOKEN });
    const headers = { host: 'relay.example.org', ...(authorization === null ? {} : { authorization }) };
    const answer = await ask(relay.port, '/api/v1/status', { headers });
    assert.equal(answer.status, status);
    assert.equal((await ask(relay.port, '/healthz', { headers })).status, health);
    assert.equal((await post(relay.port, { action: 'retry', all: true }, headers)).status, status);
    if (status === 401) assert.match(String(answer.headers['www-authenticate']), /^Bearer/);
    assert.doesNotMatch(JSON.stringify(relay.events), /horse/);
  });
}

test('readyz gives its reasons to those who may know them', async () => {
  const source = {
    status: async () => STATUS,
    ready: () => ({ ready: false, reasons: ['the disk is full'] }),
    flow: async () => assert.fail(),
  };
  await using open = await startFixture({ context: { source } });
  assert.equal(assertProblem(await ask(open.port, '/readyz'), 503), 'the disk is full');
  await using guarded = await startFixture({ token: TOKEN, context: { source } });
  assert.doesNotMatch(assertProblem(await ask(guarded.port, '/readyz'), 503), /disk/);
});

test('healthz turns red where mail waits and nothing is delivered', async () => {
  const flow = async () => ({ startedAt: RECEIVED, lastDelivery: null, waiting: 1, oldest: (NOW - 7_200_000) as Instant });
  await using relay = await startFixture({
    context: { source: { status: async () => STATUS, ready: () => ({ ready: true, reasons: [] }), flow } },
  });
  assertProblem(await ask(relay.port, '/healthz'), 503);
});

test('a fault inside is 500 and logged, without telling the client more', async () => {
  await using relay = await startFixture({ api: { handle: () => Promise.reject(new Error('secret detail')) } });
  assert.doesNotMatch(assertProblem(await ask(relay.port, '/api/v1/status'), 500), /secret/);
  assert.equal(relay.events[0]?.[0], 'admin.fault');
});

test('a queue that cannot be changed is 503', async () => {
  await using relay = await startFixture({ context: { bounceMatching: async () => err({ kind: 'read-only', detail: 'x' }) } });
  assertProblem(await post(relay.port, { action: 'bounce', all: true }), 503);
});

test('noise is answered with 400 and the connection ends', async () => {
  await using relay = await startFixture();
  const socket = connect(relay.port, '127.0.0.1');
  socket.write('EHLO x\r\n\r\n');
  assert.match(await text(socket), /^HTTP\/1\.1 400 .*application\/problem\+json/s);
});

test('a port that is taken is an error in plain words', async () => {
  await using relay = await startFixture();
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const options = { host: '127.0.0.1', port: relay.port, token: () => null, log };
  const second = await startAdminServer(options, { handle: () => assert.fail() });
  assert.ok(!second.ok);
  assert.match(second.error, /cannot listen on 127\.0\.0\.1:\d+/);
});
