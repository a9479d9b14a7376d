/**
 * Fails a test file that leaves sockets, servers, timers or threads behind. Call once at the top of every network test.
 */
import { strict as assert } from 'node:assert';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const WATCHED = [
  'TCPSocketWrap',
  'TCPServerWrap',
  'TLSWrap',
  'UDPWrap',
  'MessagePort',
  'Timeout',
  'ProcessWrap',
  'PipeWrap',
  'FSReqPromise',
];
const open = (): string[] => process.getActiveResourcesInfo().filter((kind) => WATCHED.includes(kind));

const count = (kinds: readonly string[]): Map<string, number> =>
  kinds.reduce((map, kind) => map.set(kind, (map.get(kind) ?? 0) + 1), new Map<string, number>());

/** Registers the check; `patience` milliseconds are given to things that are closing. */
export function checkLeaks(patience = 3000): void {
  const before = count(open());
  after(async () => {
    const leaked = (): string[] =>
      [...count(open())].filter(([kind, n]) => n > (before.get(kind) ?? 0)).map(([kind, n]) => `${n} ${kind}`);
    const end = performance.now() + patience;
    // The sleep below is a timer itself, over by the time it is counted.
    while (leaked().length > 0 && performance.now() < end) await sleep(20);
    assert.deepEqual(leaked(), [], 'left open after the tests');
  });
}
