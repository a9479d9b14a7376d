/** A thread for threads.test.ts: does what its data says. */
import { parentPort } from 'node:worker_threads';
import { reportReady, threadData } from '../../src/platform/threads.ts';

const { behaviour } = threadData<{ behaviour: 'echo' | 'exit' | 'throw' | 'never-ready' }>();
if (behaviour === 'throw') throw new Error('boom');
if (behaviour === 'exit') process.exit(3);
parentPort?.on('message', (message: unknown) => {
  if (message === 'die') throw new Error('died');
  if (message === 'stop') parentPort?.close();
  else parentPort?.postMessage({ echo: message });
});
if (behaviour === 'echo') reportReady();
