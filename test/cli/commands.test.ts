import { strict as assert } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Command } from 'commander';
import { type AdminClient, createAdminClient, targetOf } from '../../src/cli/admin-client.ts';
import { queueAct, queueBody, queueList, queueShow, queueStats, registerQueue } from '../../src/cli/queue.ts';
import { registerStatus, status } from '../../src/cli/status.ts';
import type { ExitCode, Terminal } from '../../src/cli/terminal.ts';
import { FIRST, SECOND, STATUS, startFixture } from '../admin/fakes.ts';
import { NOW } from '../reporting/facts.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

type Recorded = Terminal & { output(): string; complaints(): string };

function recorded(columns: number | null = null): Recorded {
  const pieces: Buffer[] = [];
  const complaints: string[] = [];
  return {
    columns,
    now: () => NOW,
    write: async (content) => void pieces.push(Buffer.from(content)),
    complain: (text) => void complaints.push(text),
    output: () => Buffer.concat(pieces).toString(),
    complaints: () => complaints.join('\n'),
  };
}

const clientAt = (port: number, token: string | null = null): AdminClient =>
  createAdminClient({ host: '127.0.0.1', port, token });

test('status for people and as JSON; exit 1 where the relay is not ready', async () => {
  await using relay = await startFixture();
  const people = recorded();
  assert.equal(await status({ json: false }, clientAt(relay.port), people), 0);
  assert.match(people.output(), /state +ready\n/);
  assert.match(people.output(), /up +1d 1h\n/);
  assert.match(people.output(), /queue +2 messages, 2\.0 KiB, oldest 1d; recipients: 2 waiting, 0 under way, 1 held\n/);
  assert.match(people.output(), /certificate +relay\.example\.org: 58 days left, self-signed/);
  const machine = recorded();
  await status({ json: true }, clientAt(relay.port), machine);
  assert.deepEqual(JSON.parse(machine.output()), STATUS);
  const ready = () => ({ ready: true, reasons: [] });
  const source = {
    status: async () => ({ ...STATUS, ready: false, notReadyBecause: ['disk full'] }),
    ready,
    flow: () => assert.fail(),
  };
  await using sick = await startFixture({ context: { source } });
  assert.equal(await status({ json: false }, clientAt(sick.port), people), 1);
  assert.match(people.output(), /NOT READY: disk full/);
});

test('queue list: a table without control characters, and what is left out', async () => {
  await using relay = await startFixture();
  const terminal = recorded(160);
  assert.equal(await queueList({ limit: '2', json: false }, clientAt(relay.port), terminal), 0);
  const [heading, first, , more] = terminal.output().split('\n');
  assert.match(heading ?? '', /^ID +STATE +AGE +TRIES +NEXT +SIZE +FROM +TO +LAST ANSWER$/);
  assert.match(first ?? '', /waiting +1d +2 +1m +1\.2 KiB +alice@example\.org +bob@example\.net +4\.2\.1 mx\.example\.net said/);
  assert.equal(more, '2 of 3 recipients shown; --limit N shows more.');
  assert.doesNotMatch(terminal.output(), /\x1b/);
  const filtered = recorded();
  await queueList({ limit: '100', json: true, state: 'held', domain: 'example.net' }, clientAt(relay.port), filtered);
  assert.deepEqual(relay.queue.asked.at(-1), { filter: { state: 'held', domain: 'example.net' }, limit: 100 });
  const page: { entries: { queueId: string }[] } = JSON.parse(filtered.output());
  assert.deepEqual(
    page.entries.map(({ queueId }) => queueId),
    [SECOND],
  );
  const none = recorded();
  assert.equal(await queueList({ limit: '5', json: false, from: 'nobody@example.org' }, clientAt(relay.port), none), 0);
  assert.equal(none.output(), 'Nothing in the queue matches.\n');
});

test('a filter that is not understood is a usage error', async () => {
  await using relay = await startFixture();
  const terminal = recorded();
  assert.equal(await queueList({ limit: '5', json: false, state: 'asleep' }, clientAt(relay.port), terminal), 2);
  assert.match(terminal.complaints(), /state: asleep is none of queued, leased, held/);
});

test('queue show: every recipient; an unknown id is exit 1 with the reason', async () => {
  await using relay = await startFixture();
  const terminal = recorded();
  assert.equal(await queueShow({ id: FIRST.toLowerCase(), json: false }, clientAt(relay.port), terminal), 0);
  assert.match(terminal.output(), /by +client\.example \[192\.0\.2\.9\] in plaintext, listener mx/);
  assert.match(terminal.output(), /to +bob@example\.net\n {2}state +waiting, 2 tries, next in 1m/);
  assert.match(terminal.output(), /to +carol@example\.net/);
  assert.doesNotMatch(terminal.output(), /\x1b/);
  assert.equal(await queueShow({ id: '../../status', json: false }, clientAt(relay.port), terminal), 1);
  assert.match(terminal.complaints(), /There is nothing at|no such message/);
});

test('queue body: octet by octet into a pipe, harmless on a terminal', async () => {
  await using relay = await startFixture();
  const pipe = recorded();
  assert.equal(await queueBody({ id: FIRST }, clientAt(relay.port), pipe), 0);
  assert.equal(pipe.output(), 'Subject: x\r\n\r\n.dot\r\n\x1b[2J\r\n');
  const screen = recorded(80);
  await queueBody({ id: FIRST }, clientAt(relay.port), screen);
  assert.equal(screen.output(), 'Subject: x\n\n.dot\n\\x1b[2J\n');
  assert.equal(await queueBody({ id: SECOND }, clientAt(relay.port), pipe), 1);
});

test('queue stats', async () => {
  await using relay = await startFixture();
  const terminal = recorded();
  assert.equal(await queueStats({ json: false }, clientAt(relay.port), terminal), 0);
  assert.match(terminal.output(), /DOMAIN +RECIPIENTS +OLDEST\nexample\.net +3 +1d\n/);
});

test('queue actions change what was selected; exit 1 where nothing matched, 2 where nothing was said', async () => {
  await using relay = await startFixture();
  const client = clientAt(relay.port);
  const terminal = recorded();
  const none = { ids: [], all: false };
  assert.equal(await queueAct({ action: 'hold', selection: { ...none, ids: [FIRST] }, json: false }, client, terminal), 0);
  assert.equal(
    await queueAct({ action: 'bounce', selection: { ...none, domain: 'example.net' }, json: true }, client, terminal),
    0,
  );
  assert.equal(terminal.output(), '2 recipients held.\n{\n  "action": "bounce",\n  "recipients": 1\n}\n');
  assert.equal(await queueAct({ action: 'retry', selection: { ...none, connector: 'other' }, json: false }, client, terminal), 1);
  assert.equal(await queueAct({ action: 'retry', selection: none, json: false }, client, terminal), 2);
  assert.equal(
    await queueAct({ action: 'remove', selection: { ...none, ids: [FIRST], all: true }, json: false }, client, terminal),
    2,
  );
  assert.match(terminal.complaints(), /say which: queue ids, --domain D, --connector C or --all/);
  assert.equal(relay.queue.asked.length, 3);
});

test('a token is sent; a wrong one is explained', async () => {
  await using relay = await startFixture({ token: 'secret-token' });
  assert.equal(await status({ json: true }, clientAt(relay.port, 'secret-token'), recorded()), 0);
  const terminal = recorded();
  assert.equal(await status({ json: true }, clientAt(relay.port, 'other'), terminal), 1);
  assert.match(terminal.complaints(), /refuses the token: is admin\.token here/);
});

test('a relay that is not there: what to do about it', async () => {
  const server = createTcpServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  await new Promise((resolve) => server.close(resolve));
  const terminal = recorded();
  assert.equal(await status({ json: false }, clientAt(address.port), terminal), 1);
  assert.match(
    terminal.complaints(),
    /does not answer at 127\.0\.0\.1:\d+ \(connection refused\): is it running\?\nStart it with "postern serve"/,
  );
});

test('something else on the port is named as such', async () => {
  const server = createServer((_request, response) => response.writeHead(404).end('<html>'));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const terminal = recorded();
  assert.equal(await status({ json: false }, clientAt(address.port), terminal), 1);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  assert.match(terminal.complaints(), /no Postern relay \(HTTP 404\)/);
});

test('an address that listens everywhere is asked on this machine', () => {
  const admin = { host: '0.0.0.0', port: 8025, token: 't', stuckAfter: 1 };
  assert.deepEqual(targetOf({ admin }), { host: '127.0.0.1', port: 8025, token: 't' });
  assert.equal(targetOf({ admin: { ...admin, host: '::' } }).host, '::1');
});

async function run(
  args: readonly string[],
  config: string,
): Promise<{ readonly code: ExitCode | null; readonly terminal: Recorded; readonly help: string }> {
  const terminal = recorded();
  const help: string[] = [];
  const codes: ExitCode[] = [];
  const program = new Command('postern').exitOverride().option('--config <file>');
  program.configureOutput({ writeOut: (text) => help.push(text), writeErr: (text) => help.push(text) });
  const context = { terminal, exit: (given: ExitCode) => void codes.push(given) };
  registerStatus(program, context);
  registerQueue(program, context);
  await program.parseAsync([...args, '--config', config], { from: 'user' }).catch(() => {});
  return { code: codes[0] ?? null, terminal, help: help.join('') };
}

test('the command line reaches the commands', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-cli-'));
  t.after(() => rm(folder, { recursive: true }));
  await using relay = await startFixture();
  const file = join(folder, 'postern.yaml');
  await writeFile(
    file,
    `hostname: relay.example.org
listeners:
  - { name: mx, address: "127.0.0.1:2525", tls: starttls }
acceptedDomains: [example.org]
admin: { address: "127.0.0.1:${relay.port}" }
`,
  );
  const shown = await run(['status'], file);
  assert.deepEqual([shown.code, shown.terminal.complaints()], [0, '']);
  assert.equal((await run(['queue', 'list', '--domain', 'example.net', '--limit', '7', '--json'], file)).code, 0);
  assert.deepEqual(relay.queue.asked.at(-1), { filter: { domain: 'example.net' }, limit: 7 });
  assert.equal((await run(['queue', 'release', FIRST, SECOND], file)).code, 0);
  assert.deepEqual(relay.queue.asked.at(-1), { action: 'release', filter: { queueIds: [FIRST, SECOND] } });
  assert.equal((await run(['queue', 'bounce', '--all'], file)).code, 0);
  assert.deepEqual(relay.queue.asked.at(-1), { action: 'bounce', filter: {} });
  assert.equal((await run(['queue', 'show', FIRST], file)).code, 0);
  assert.equal((await run(['queue', 'stats', '--json'], file)).code, 0);
  assert.equal((await run(['queue', 'body', FIRST], file)).terminal.output().startsWith('Subject'), true);
  assert.match((await run(['queue', 'list', '--limit', '0'], file)).help, /a number from 1 to 1000/);
  assert.match((await run(['queue', 'hold', '--help'], file)).help, /Examples:\n {2}postern queue hold --domain example\.net/);
  const missing = await run(['status'], join(folder, 'gone.yaml'));
  assert.equal(missing.code, 2);
  assert.match(missing.terminal.complaints(), /cannot read the configuration: no such file/);
});
