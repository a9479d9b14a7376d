/** A real disk that fills up, and one that cannot be written: small file systems mounted for the test (as root, in .ci and containers). */
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Claim } from '../../src/domain/queue.ts';
import { startSpoolThread } from '../../src/spool/sqlite-spool-thread.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { dueNow } from './contract.ts';
import { id, message, settlement } from './messages.ts';
import { tempQueue } from './temp-queue.ts';

checkLeaks();

/** Mounting needs root; elsewhere these tests are skipped, in CI they must run. */
const root = process.getuid?.() === 0;
const skip = root || process.env['CI'] !== undefined ? false : 'needs root, to mount a small file system';

function mounted(): Disposable & { readonly folder: string; remount(options: string): void } {
  const folder = mkdtempSync(join(tmpdir(), 'postern-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', folder]);
  return {
    folder,
    remount: (options) => void execFileSync('mount', ['-o', `remount,${options}`, folder]),
    [Symbol.dispose]() {
      execFileSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

test('the disk fills up: refused with the reason, nothing acknowledged lost, goes on when there is room again', {
  skip,
}, async () => {
  using disk = mounted();
  await using queue = await tempQueue(join(disk.folder, 'data'));
  const spool = queue.connect();
  const body = 'x'.repeat(60_000);
  const accepted: string[] = [];
  let refusal: string | null = null;
  for (let index = 0; refusal === null; index++) {
    const result = await spool.accept(message(`m${index}`, { body, to: [`u@d${index % 10}.test`] }), null);
    if (result.ok) accepted.push(id(`m${index}`));
    else refusal = result.error.kind;
  }
  assert.equal(refusal, 'disk-full');
  assert.equal(spool.health().writable, false);
  assert.ok(accepted.length > 10);
  const writer = await spool.createBody();
  const written = writer.ok ? await writer.value.write(Buffer.alloc(2_000_000)) : writer;
  assert.equal(written.ok ? 'written' : written.error.kind, 'disk-full');
  if (writer.ok) await writer.value.abandon();
  disk.remount('size=24m');
  while (!spool.health().writable) await sleep(50);
  assert.ok((await spool.accept(message('after', { body }), null)).ok);
  await queue.restart();
  const again = queue.connect();
  const seen: Claim[] = [];
  for (let claims = await dueNow(again, { limit: 20 }); claims.length > 0; claims = await dueNow(again, { limit: 20 }))
    seen.push(...claims);
  assert.deepEqual(seen.map((claim) => claim.queueId as string).sort(), [...accepted, id('after')].sort());
  assert.ok(seen.every((claim) => claim.body.kind === 'memory' && claim.body.wire.length === body.length));
  for (const claim of seen) assert.ok((await again.settle(settlement(claim, 'delivered'))).ok);
  assert.equal((await again.stats()).messages, 0);
});

test('free space below the limit: health says so, and takes it back', { skip }, async () => {
  using disk = mounted();
  await using queue = await tempQueue(join(disk.folder, 'data'));
  const spool = queue.connect();
  await spool.stats();
  assert.equal(spool.health().low, false);
  queue.thread().setDiskFree(16 * 1024 * 1024);
  while (!spool.health().low) await sleep(50);
  assert.ok(spool.health().freeBytes < 16 * 1024 * 1024);
  disk.remount('size=64m');
  while (spool.health().low) await sleep(50);
});

test('a file system that cannot be written: the start says so', { skip }, async () => {
  using disk = mounted();
  const queue = await tempQueue(join(disk.folder, 'data'));
  await queue.connect().accept(message('m1'), null);
  await queue.stop();
  disk.remount('ro');
  const started = await startSpoolThread({ path: queue.path, diskFreeBytes: 0 });
  assert.equal(started.ok ? 'started' : started.error.kind, 'read-only', started.ok ? '' : started.error.detail);
  disk.remount('rw');
  await queue.start();
  assert.equal((await queue.connect().stats()).messages, 1);
  await queue.stop();
});
