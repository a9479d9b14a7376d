/** What a message costs that is delivered at once: these statements and no others. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Store } from '../../src/spool/spool-store.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { inProcessSpool } from './in-process.ts';
import { message, settlement } from './messages.ts';

checkLeaks();

/** The store, with every call told. */
function telling(store: Store, tell: (name: string) => void): Store {
  const told = Object.entries(store).map(([name, call]) => [
    name,
    (...given: never[]) => {
      tell(name);
      return (call as (...all: never[]) => unknown)(...given);
    },
  ]);
  return Object.fromEntries(told) as Store;
}

test('born leased, delivered, deleted: nothing is asked and nothing else is written', async () => {
  const calls: string[] = [];
  await using queue = await inProcessSpool({ store: (store) => telling(store, (name) => calls.push(name)) });
  const spool = queue.connect();
  await spool.stats();
  calls.length = 0;
  const accepted = await spool.accept(message('m1'), { leaseFor: 60_000 });
  assert.ok(accepted.ok && accepted.value[0] !== undefined);
  assert.deepEqual(calls.splice(0), ['begin', 'insertMessage', 'insertRecipient', 'writeTotals', 'commit']);
  assert.ok((await spool.settle(settlement(accepted.value[0], 'delivered'))).ok);
  assert.deepEqual(calls.splice(0), ['begin', 'deleteMessage', 'writeTotals', 'commit']);
});
