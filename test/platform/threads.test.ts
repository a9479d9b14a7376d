import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { earlyDeaths, restartDelay } from '../../src/platform/restart-policy.ts';
import { keepThread, startThread, type Thread, type ThreadEnd, type ThreadPlan } from '../../src/platform/threads.ts';
import { testClock } from '../support/clock.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

type Data = { readonly behaviour: string };
const plan = (behaviour: string, onMessage: (message: unknown) => void = () => {}): ThreadPlan<Data> => ({
  name: behaviour,
  entry: new URL('./thread-entry.ts', import.meta.url),
  data: () => ({ data: { behaviour }, transfer: [] }),
  readyWithin: behaviour === 'never-ready' ? 500 : 20_000,
  onMessage,
});

test('a thread that is ready talks, and ends when told', async () => {
  const heard = Promise.withResolvers<unknown>();
  const started = await startThread(plan('echo', heard.resolve));
  assert.ok(started.ok);
  started.value.post('hello');
  assert.deepEqual(await heard.promise, { echo: 'hello' });
  started.value.post('stop');
  assert.deepEqual(await started.value.ended, { kind: 'exited', code: 0 });
});

const failures: readonly (readonly [behaviour: string, end: RegExp])[] = [
  ['throw', /"crashed".*boom/],
  ['exit', /"exited","code":3/],
  ['never-ready', /"not-ready"/],
];
for (const [behaviour, end] of failures) {
  test(`a thread that does not come up (${behaviour}) is a value`, async () => {
    const started = await startThread(plan(behaviour));
    assert.match(JSON.stringify(started.ok ? null : started.error), end);
  });
}

test('a thread that dies is started again, until it may end', async () => {
  const controller = new AbortController();
  const starts: number[] = [];
  const ends: ThreadEnd[] = [];
  await keepThread({
    plan: plan('echo'),
    clock: testClock(),
    signal: controller.signal,
    onStarted: (thread: Thread, restarts) => {
      starts.push(restarts);
      if (restarts === 2) controller.abort();
      thread.post(restarts === 2 ? 'stop' : 'die');
    },
    onDied: (end) => void ends.push(end),
  });
  assert.deepEqual(starts, [0, 1, 2]);
  assert.deepEqual(
    ends.map((end) => end.kind),
    ['crashed', 'crashed'],
  );
});

test('a stop during the wait for a restart ends the wait', async () => {
  const controller = new AbortController();
  await keepThread({
    plan: plan('exit'),
    clock: testClock(),
    signal: controller.signal,
    onStarted: () => assert.fail('it never comes up'),
    onDied: () => setImmediate(() => controller.abort()),
  });
});

test('the wait doubles while it dies young, and starts over after a long life', () => {
  assert.deepEqual([1, 2, 3, 9, 10, 500].map(restartDelay), [100, 200, 400, 25_600, 30_000, 30_000]);
  assert.equal(earlyDeaths(4, 10), 5);
  assert.equal(earlyDeaths(4, 60_000), 1);
});
