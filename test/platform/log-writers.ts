/** A process for log.test.ts: three threads log to one standard output, then end as the relay does. */
import { isMainThread, threadId, Worker } from 'node:worker_threads';
import { openLineWriter } from '../../src/platform/line-writer.ts';
import { openLog } from '../../src/platform/log.ts';
import { testClock } from '../support/clock.ts';

const LINES = 3000;
if (isMainThread) for (let count = 0; count < 2; count += 1) new Worker(new URL(import.meta.url));

const log = openLog(
  { level: 'info', addresses: 'full', format: 'json', colour: false, clock: testClock(), base: { thread: threadId } },
  openLineWriter(1),
);
for (let line = 0; line < LINES; line += 1) {
  log.info('line', { line, filler: 'x'.repeat((line * 37) % 900) });
  if (line % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
log.flush();
