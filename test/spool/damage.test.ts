/** Files that are not what they were: refused, set aside or swept with a word about it; never delivered in part, never a crash loop. */
import { strict as assert } from 'node:assert';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { Body } from '../../src/domain/queue.ts';
import type { Spool } from '../../src/spool/spool.ts';
import { startSpoolThread } from '../../src/spool/sqlite-spool-thread.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { dueNow } from './contract.ts';
import { id, message, settlement } from './messages.ts';
import { type TempQueue, tempQueue } from './temp-queue.ts';

checkLeaks();

/** Changes the stopped queue's database behind its back. */
function tamper(queue: TempQueue, sql: string): void {
  const database = new DatabaseSync(queue.path);
  database.exec(sql);
  database.close();
}

async function refusal(path: string): Promise<string> {
  const started = await startSpoolThread({ path, diskFreeBytes: 0 });
  if (started.ok) await started.value.close();
  return started.ok ? 'started' : started.error.detail;
}

const folders: string[] = [];
const folder = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'postern-damage-'));
  folders.push(path);
  return path;
};
process.once('exit', () => {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
});

test('a file that is no database: refused, and left as it is', async () => {
  const path = join(folder(), 'queue.db');
  writeFileSync(path, 'not a database, but long enough to look like one '.repeat(100));
  const before = readFileSync(path);
  assert.match(await refusal(path), /queue\.db: the file is no queue database, or it is damaged/);
  assert.deepEqual(readFileSync(path), before);
});

test("another program's database: refused", async () => {
  const path = join(folder(), 'queue.db');
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE other (x)');
  database.close();
  assert.match(await refusal(path), /is a database of another program/);
});

test('a newer schema: refused, and untouched', async () => {
  await using queue = await tempQueue();
  await queue.stop();
  tamper(queue, 'PRAGMA user_version = 99');
  assert.match(await refusal(queue.path), /written by a newer version \(schema 99, this one knows \d+\)/);
  tamper(queue, 'PRAGMA user_version = 2');
});

test('a folder that cannot be made: refused with the reason', async () => {
  const path = join(folder(), 'file');
  writeFileSync(path, '');
  assert.match(await refusal(join(path, 'queue.db')), /ENOTDIR|EEXIST/);
});

test('a body in a row that changed: set aside with the reason, the others go on', async () => {
  await using queue = await tempQueue();
  let spool = queue.connect();
  await spool.accept(message('bad'), null);
  await spool.accept(message('good'), null);
  await queue.stop();
  tamper(queue, "UPDATE messages SET body = CAST(x'00' || substr(body, 2) AS BLOB) WHERE queue_id = 'q-bad'");
  await queue.start();
  spool = queue.connect();
  assert.deepEqual(
    (await dueNow(spool)).map((claim) => claim.queueId),
    [id('good')],
  );
  const [entry] = (await spool.list({ state: 'held' }, 5)).entries;
  assert.equal(entry?.queueId, id('bad'));
  assert.match(entry?.lastFailure?.text ?? '', /checksum differs/);
  assert.deepEqual(
    queue.events().map((event) => event.kind),
    ['quarantined'],
  );
  // An operator can still tell the sender.
  const [claim] = await spool.claimMatching({ queueIds: [id('bad')] }, 1, 60_000);
  assert.ok(claim !== undefined && claim.body.kind === 'memory' && claim.body.wire.length === 0);
  assert.ok((await spool.settle(settlement(claim, 'bounced'))).ok);
});

async function largeBody(spool: Spool): Promise<Body & { kind: 'file' }> {
  const writer = await spool.createBody();
  assert.ok(writer.ok);
  await writer.value.write(Buffer.alloc(100_000, 'x'));
  const body = await writer.value.finish();
  assert.ok(body.ok && body.value.kind === 'file');
  return body.value;
}

test('body files missing, cut or owned by nobody: found at the start', async () => {
  await using queue = await tempQueue();
  let spool = queue.connect();
  const bodies = [await largeBody(spool), await largeBody(spool), await largeBody(spool)];
  for (const [index, body] of bodies.entries()) await spool.accept(message(`m${index}`, { body }), null);
  const stray = await largeBody(spool);
  await queue.stop();
  rmSync(bodies[0]?.path ?? '');
  truncateSync(bodies[1]?.path ?? '', 99_999);
  appendFileSync(stray.path.replace('.body', '.part'), 'half');
  await queue.start();
  const { recovery } = queue.thread();
  assert.deepEqual(recovery.quarantined.map((row) => row.queueId).sort(), [id('m0'), id('m1')]);
  assert.equal(recovery.orphanBodies, 2);
  spool = queue.connect();
  assert.deepEqual(
    (await dueNow(spool)).map((claim) => claim.queueId),
    [id('m2')],
  );
});

test('a body file cut while the queue runs: set aside when its turn comes', async () => {
  await using queue = await tempQueue();
  const spool = queue.connect();
  const body = await largeBody(spool);
  truncateSync(body.path, 1);
  await spool.accept(message('m1', { body }), null);
  assert.deepEqual(await dueNow(spool), []);
  assert.deepEqual((await spool.stats()).recipients, { queued: 0, leased: 0, held: 1 });
});

test('a page of garbage in the middle of the file: what can be read is delivered, and nothing loops', async () => {
  await using queue = await tempQueue();
  let spool = queue.connect();
  const names = Array.from({ length: 400 }, (_, index) => `m${index}`);
  await Promise.all(
    names.map((name, index) => spool.accept(message(name, { to: [`u@d${index % 40}.test`], body: 'x'.repeat(3000) }), null)),
  );
  await queue.stop();
  const file = readFileSync(queue.path);
  file.fill(0xa5, 200 * 4096, 201 * 4096);
  writeFileSync(queue.path, file);
  await queue.start();
  spool = queue.connect();
  const seen = new Set<string>();
  for (let claims = await dueNow(spool, { limit: 100 }); claims.length > 0; claims = await dueNow(spool, { limit: 100 })) {
    for (const claim of claims) {
      assert.equal(claim.body.kind === 'memory' && claim.body.wire.length, 3000);
      seen.add(claim.queueId);
    }
  }
  assert.ok(seen.size > 200 && seen.size < 400, `${seen.size} of 400 readable`);
  assert.ok(queue.events().some((event) => event.kind === 'unreadable' || event.kind === 'quarantined'));
  assert.ok((await spool.accept(message('after'), null)).ok);
});

test('a log cut short by a crash: everything before the cut is there', async () => {
  await using queue = await tempQueue();
  const spool = queue.connect();
  for (let index = 0; index < 20; index++) await spool.accept(message(`m${index}`), null);
  const copy = folder();
  for (const name of readdirSync(queue.folder).filter((file) => /^queue\.db(-wal)?$/.test(file))) {
    copyFileSync(join(queue.folder, name), join(copy, name));
  }
  appendFileSync(join(copy, 'queue.db-wal'), Buffer.alloc(5000, 0xff));
  await using again = await tempQueue(copy);
  assert.equal((await again.connect().stats()).messages, 20);
});
