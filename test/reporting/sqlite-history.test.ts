import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import type { Instant } from '../../src/domain/basics.ts';
import type { QueueId } from '../../src/domain/envelope.ts';
import { queueIdFrom } from '../../src/domain/queue-id.ts';
import type { HistoryAnswer } from '../../src/reporting/history.ts';
import { SqliteHistory } from '../../src/reporting/sqlite-history.ts';
import { accepted, at, attempt, batchOf, notice, operator } from './history-events.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-history-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const DAY = 86_400_000;

type Opened = { readonly history: SqliteHistory; readonly path: string; readonly troubles: string[] };
function open(more: { path?: string; mostBytes?: number; leaveFree?: number } = {}): Opened {
  files += 1;
  const path = more.path ?? join(folder, `${files}.db`);
  const troubles: string[] = [];
  const onTrouble = (text: string): void => void troubles.push(text);
  const options = { path, mostBytes: 1e9, keepFor: 30 * DAY, leaveFree: 0, onTrouble, ...more };
  return { history: new SqliteHistory(options), path, troubles };
}

const idAt = (seconds: number, tail = 1): QueueId => queueIdFrom(at(seconds), new Uint8Array(10).fill(tail));
const kinds = (answer: HistoryAnswer | null): readonly string[] | undefined => answer?.events.map(({ kind }) => kind).sort();
const message = (queueId: string) => ({ kind: 'message', queueId, limit: 20 }) as const;
const address = (text: string, limit = 20) => ({ kind: 'address', forms: [text], limit }) as const;

test('a message is found by its id, before and after a restart', () => {
  const { history, path } = open();
  const id = idAt(0);
  history.append(batchOf(accepted({ queueId: id }), accepted({ queueId: idAt(0, 2) })));
  history.append(batchOf(attempt({ queueId: id }), notice({ queueId: id })));
  assert.deepEqual(kinds(history.find(message(id), at(5))), ['accepted', 'attempt', 'notice']);
  history.close();
  const again = open({ path });
  again.history.append(batchOf(attempt({ queueId: id, at: at(60) })));
  assert.deepEqual(kinds(again.history.find(message(id), at(65))), ['accepted', 'attempt', 'attempt', 'notice']);
  assert.deepEqual(again.history.find(message(idAt(1)), at(65))?.events, []);
  again.history.close();
  assert.deepEqual(again.troubles, []);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('an address finds its latest messages with everything that happened to them', () => {
  const { history } = open();
  for (let n = 0; n < 10; n += 1) {
    const queueId = idAt(n);
    history.append(batchOf(accepted({ queueId, at: at(n), to: [n % 2 === 0 ? 'Bob@example.net' : 'carol@example.net'] })));
    history.append(batchOf(attempt({ queueId, at: at(n) })));
  }
  const all = history.find(address('bob@example.net'), at(20));
  assert.equal(all?.complete, true);
  const two = history.find(address('carol@example.net', 2), at(20));
  assert.ok(two?.events.some((event) => event.kind === 'accepted' && event.queueId === idAt(9)));
  assert.equal(new Set(two?.events.flatMap((event) => (event.kind === 'operator' ? [] : [event.queueId]))).size, 2);
  assert.equal(two?.complete, false);
  history.close();
});

test('actions of operators come with every message', () => {
  const { history } = open();
  history.append(batchOf(accepted({ queueId: idAt(0) })));
  history.append(batchOf(operator()));
  assert.deepEqual(kinds(history.find(message(idAt(0)), at(5))), ['accepted', 'operator']);
  history.close();
});

test('counts add up', () => {
  const { history } = open();
  history.append({ ...batchOf(accepted()), sessionsRefused: 2, messagesRefused: 3, dropped: 4 });
  history.append({ ...batchOf(accepted()), sessionsRefused: 1, messagesRefused: 1, dropped: 1 });
  const counts = history.find(message(idAt(0)), at(5))?.counts;
  assert.deepEqual(counts, { sessionsRefused: 3, messagesRefused: 4, dropped: 5 });
  history.close();
});

for (const [name, content] of [
  ['garbage', 'this is no database at all, but long enough to be read as one'.repeat(100)],
  ['another version', null],
] as const) {
  test(`${name} in place of the history: moved aside, told, and a new one begins`, () => {
    const first = open();
    first.history.close();
    if (content !== null) writeFileSync(first.path, content);
    else {
      const database = new DatabaseSync(first.path);
      database.exec('PRAGMA user_version = 99');
      database.close();
    }
    const { history, path, troubles } = open({ path: first.path });
    history.append(batchOf(accepted({ queueId: idAt(0) })));
    assert.deepEqual(kinds(history.find(message(idAt(0)), at(5))), ['accepted']);
    history.close();
    assert.equal(troubles.length, 1, troubles.join('\n'));
    assert.match(troubles[0] ?? '', /damaged and a new history begins/);
    assert.ok(existsSync(`${path}.damaged`));
  });
}

test('a file that is damaged while it is open is left for a new one, and what is in memory goes there', () => {
  const { history, path, troubles } = open();
  for (let n = 0; n < 2000; n += 1) history.append(batchOf(accepted({ queueId: idAt(n), helo: `client-${Math.sin(n)}` })));
  history.flush(at(1));
  history.close();
  const bytes = readFileSync(path);
  // The first page stands; what it points to does not.
  writeFileSync(path, Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(bytes.length - 4096, 0x5a)]));
  const again = open({ path });
  again.history.append(batchOf(accepted({ queueId: idAt(5000), at: at(5000) })));
  again.history.find(message(idAt(3)), at(6000));
  again.history.flush(at(6000));
  assert.deepEqual(kinds(again.history.find(message(idAt(5000)), at(6000))), ['accepted']);
  again.history.close();
  assert.ok(again.troubles.length > 0);
  assert.deepEqual(troubles, []);
});

test('what is too old is forgotten, a little at a time', () => {
  const { history } = open();
  for (let n = 0; n < 8; n += 1) {
    history.append(batchOf(accepted({ queueId: idAt(n), at: at(n) })));
    // An hour later the chunk is full by its age.
    history.flush(at(n + 4000));
  }
  assert.equal(history.find(message(idAt(0)), at(10))?.since, at(0));
  const later = (at(0) + 31 * DAY) as Instant;
  history.flush(later);
  assert.equal(history.find(message(idAt(7)), at(10))?.since, at(4), 'four in one step');
  history.flush(later);
  assert.equal(history.find(message(idAt(7)), later)?.since, null);
  history.close();
});

test('the file stays within its size', () => {
  const mostBytes = 2 * 1024 * 1024;
  const { history, path } = open({ mostBytes });
  for (let n = 0; n < 400; n += 1) {
    const noise = Array.from({ length: 300 }, (_, m) => `${Math.sin(n * 1000 + m)}${Math.cos(n * 1000 + m)}@example.net`);
    history.append(batchOf(accepted({ queueId: idAt(n), at: at(n), to: noise })));
    if (n % 5 === 0) history.flush(at(n));
  }
  history.flush(at(400));
  assert.deepEqual(kinds(history.find(message(idAt(399)), at(400))), ['accepted']);
  assert.deepEqual(kinds(history.find(message(idAt(0)), at(400))), []);
  history.close();
  assert.ok(statSync(path).size < 1.5 * mostBytes, String(statSync(path).size));
});

test('a disk that is nearly full is left to the queue: events are lost and counted', () => {
  const { history } = open({ leaveFree: Number.MAX_SAFE_INTEGER });
  history.append(batchOf(accepted({ queueId: idAt(0), helo: 'x'.repeat(300_000) })));
  assert.deepEqual(history.find(message(idAt(0)), at(1))?.events, []);
  history.append(batchOf(accepted({ queueId: idAt(1) })));
  history.flush(at(2));
  history.close();
});

test('a folder that is not there: told, and nothing else happens', () => {
  const { history, troubles } = open({ path: join(folder, 'none', 'history.db') });
  history.append(batchOf(accepted()));
  history.flush(at(1));
  assert.equal(history.find(message(idAt(0)), at(1)), null);
  history.close();
  assert.match(troubles[0] ?? '', /cannot be opened/);
});
