import { strict as assert } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { QueueId } from '../../src/domain/envelope.ts';
import type { Body } from '../../src/domain/queue.ts';
import { readBodyHead } from '../../src/reporting/body-head.ts';
import { RETURN_LIMIT } from '../../src/reporting/dsn-format.ts';
import { makeNotices, type NoticeTools } from '../../src/reporting/notices.ts';
import { testClock } from '../support/clock.ts';
import { claim, facts, failure, NOW, ORIGINAL } from './facts.ts';

const tools: NoticeTools = {
  clock: testClock(NOW),
  newQueueId: () => '03NEW' as QueueId,
  newBoundarySeed: () => 'abcdefghijklmnop',
  readHead: readBodyHead,
};

test('a bounced recipient makes one notice, made of the stored body', async () => {
  const made = await makeNotices(
    { claim: claim(), settled: [{ number: 0, becomes: 'bounced', failure: failure() }], report: null, willRetryUntil: NOW },
    facts().config,
    tools,
  );
  assert.deepEqual(
    made.map(({ kind, message }) => [kind, message.envelope.queueId]),
    [['failure', '03NEW']],
  );
  const body = made[0]?.message.body;
  assert.ok(body?.kind === 'memory');
  assert.match(Buffer.from(body.wire).toString(), /Subject: Hello/);
});

test('nothing due: the body is not even read', async () => {
  const never = { ...tools, readHead: () => assert.fail('read') };
  const settled = [{ number: 0, becomes: 'delivered' } as const];
  assert.deepEqual(await makeNotices({ claim: claim(), settled, report: null, willRetryUntil: NOW }, facts().config, never), []);
});

test('of a body no more than the limit is read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-head-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'body');
  await writeFile(path, Buffer.alloc(RETURN_LIMIT + 10, 'x'));
  const large = await readBodyHead({ kind: 'file', path, wireBytes: RETURN_LIMIT + 10 });
  assert.deepEqual([large?.wire.length, large?.complete], [RETURN_LIMIT, false]);
  const rows: readonly [Body, boolean | undefined][] = [
    [{ kind: 'memory', wire: ORIGINAL }, true],
    [{ kind: 'memory', wire: new Uint8Array(RETURN_LIMIT + 1) }, false],
    [{ kind: 'file', path: join(folder, 'gone'), wireBytes: 5 }, undefined],
  ];
  for (const [body, complete] of rows) assert.equal((await readBodyHead(body))?.complete, complete);
});
