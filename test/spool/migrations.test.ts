/** A queue file of every released schema comes up with its mail, brought to the current one. */
import { strict as assert } from 'node:assert';
import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { untriedAttention } from '../../src/spool/attention-policy.ts';
import { QUEUE_0001 } from '../../src/spool/migrations/0001-queue.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { dueNow } from './contract.ts';
import { message, RECEIVED_AT } from './messages.ts';
import { tempQueue } from './temp-queue.ts';

checkLeaks();

const APPLICATION_ID = 0x5053544e;

test('schema 1: its mail and its memory are kept, and policies can be', async () => {
  await using queue = await tempQueue();
  const accepted = await queue.connect().accept(message('m1'), null);
  assert.ok(accepted.ok);
  await queue.stop();
  const now = new DatabaseSync(queue.path);
  const tables = ['messages', 'recipients', 'destinations', 'host_memory', 'totals'];
  const rows = tables.map((table) => now.prepare(`SELECT * FROM ${table}`).all());
  now.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(queue.path + suffix, { force: true });

  const old = new DatabaseSync(queue.path);
  old.exec(`PRAGMA auto_vacuum = INCREMENTAL; ${QUEUE_0001}; DELETE FROM totals`);
  old.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = 1`);
  for (const [index, table] of tables.entries()) {
    const known = new Set(
      old
        .prepare(`PRAGMA table_info(${table})`)
        .all()
        .map(({ name }) => name),
    );
    for (const row of rows[index] ?? []) {
      const names = Object.keys(row).filter((name) => known.has(name));
      const values = names.map((name) => row[name] ?? null);
      old.prepare(`INSERT INTO ${table} (${names}) VALUES (${names.map(() => '?')})`).run(...values);
    }
  }
  old.close();

  await queue.start();
  const spool = queue.connect();
  assert.deepEqual(await spool.recallPolicies(), []);
  assert.equal((await dueNow(spool)).length, 1);
  await queue.stop();
  const current = new DatabaseSync(queue.path);
  assert.ok(Number(current.prepare('PRAGMA user_version').get()?.['user_version']) >= 2);
  // Schema 3: what was queued before attention times were kept has one.
  const { attention } = current.prepare('SELECT attention FROM recipients').get() ?? {};
  assert.equal(attention, untriedAttention(RECEIVED_AT));
  current.close();
});
