/** Counts in their file: added up, kept over a restart, bounded, and gone once reported. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { SessionCount, SessionResult } from '../../src/domain/tls-report.ts';
import { openTlsRptStore } from '../../src/reporting/sqlite-tls-rpt.ts';
import { dayStart, reportDue } from '../../src/reporting/tls-rpt-policy.ts';
import type { TlsRptStore } from '../../src/reporting/tls-rpt-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-tls-rpt-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = (): string => join(folder, `counts-${++files}.db`);

const DAY = 20_000;
const LATER = dayStart(DAY + 2);
const domain = 'example.test' as Domain;
const none = JSON.stringify({ type: 'no-policy-found', domain });
const failed = (ip: string): string => {
  const result: SessionResult = {
    kind: 'failure',
    type: 'starttls-not-supported',
    reason: null,
    sendingIp: null,
    mx: 'mx.test',
    ip,
  };
  return JSON.stringify(result);
};
const one = (change: Partial<SessionCount> = {}): SessionCount => ({
  day: DAY,
  reportDomain: domain,
  policy: none,
  result: '{"kind":"success"}',
  count: 1,
  ...change,
});
const half = (): number => 0.5;
const using = (path: string, work: (store: TlsRptStore) => void): void => {
  const store = openTlsRptStore(path);
  try {
    work(store);
  } finally {
    store.close();
  }
};

test('counts add up, also over a restart; the instance stays', () => {
  const path = newPath();
  let instance = '';
  using(path, (store) => {
    instance = store.instance;
    assert.equal(store.add([one({ count: 2 }), one({ result: failed('192.0.2.1') })], half), 0);
  });
  using(path, (store) => {
    assert.equal(store.instance, instance);
    assert.match(instance, /^[0-9a-z]+$/);
    store.add([one({ count: 3 }), one({ day: DAY + 1 })], half);
    const counts = store.counts({ day: DAY, domain });
    assert.deepEqual(
      counts.map(({ result, count }) => [JSON.parse(result).kind, count]),
      [
        ['failure', 1],
        ['success', 5],
      ],
    );
  });
});

test('the question where a report goes is due after the day, once', () => {
  using(newPath(), (store) => {
    store.add([one(), one()], half);
    store.add([one()], () => 0);
    const due = reportDue(DAY, 0.5);
    assert.deepEqual(store.due((due - 1) as Instant, 10), []);
    assert.deepEqual(
      store.due(due, 10).map((task) => ({ ...task })),
      [{ day: DAY, domain, uri: null, tries: 0, until: null }],
    );
  });
});

test('a report is kept until its last endpoint has it', () => {
  using(newPath(), (store) => {
    store.add([one()], half);
    store.addressed({ day: DAY, domain }, ['mailto:a@b.test', 'https://c.test/'], LATER);
    const tasks = store.due(LATER, 10);
    assert.deepEqual(tasks.map(({ uri }) => uri).sort(), ['https://c.test/', 'mailto:a@b.test']);
    const [first, second] = tasks;
    assert.ok(first !== undefined && second !== undefined);
    store.done(first);
    assert.equal(store.counts({ day: DAY, domain }).length, 1);
    store.retry(second, (LATER + 5) as Instant, (LATER + 10) as Instant);
    assert.deepEqual(store.due(LATER, 10), []);
    assert.deepEqual(
      store.due((LATER + 5) as Instant, 10).map(({ tries, until }) => [tries, until]),
      [[1, LATER + 10]],
    );
    store.done(second);
    assert.deepEqual(store.counts({ day: DAY, domain }), []);
  });
});

test('a domain that wants no report is forgotten', () => {
  using(newPath(), (store) => {
    store.add([one()], half);
    store.addressed({ day: DAY, domain }, [], LATER);
    assert.deepEqual([store.due(LATER, 10), store.counts({ day: DAY, domain })], [[], []]);
  });
});

test('failures at very many addresses are still all counted, in few rows', () => {
  using(newPath(), (store) => {
    const many = Array.from({ length: 2000 }, (_, at) => one({ result: failed(`10.0.${at >> 8}.${at & 255}`) }));
    assert.equal(store.add(many, half), 0);
    const counts = store.counts({ day: DAY, domain });
    assert.equal(counts.length, 501);
    assert.equal(
      counts.reduce((sum, { count }) => sum + count, 0),
      2000,
    );
  });
});

test('policies without number are dropped, and said to be', () => {
  using(newPath(), (store) => {
    const many = Array.from({ length: 2000 }, (_, at) => one({ policy: JSON.stringify({ type: 'sts', lines: [String(at)] }) }));
    assert.equal(store.add(many, half), 1000);
  });
});

test('50,000 domains a day; the next day begins anew', () => {
  using(newPath(), (store) => {
    const many = Array.from({ length: 50_010 }, (_, at) => one({ reportDomain: `d${at}.test` as Domain }));
    assert.equal(store.add(many, half), 10);
    assert.equal(store.add([one({ reportDomain: 'd7.test' as Domain })], half), 0);
    assert.equal(store.add([one({ reportDomain: 'new.test' as Domain, count: 4 })], half), 4);
    assert.equal(store.add([one({ reportDomain: 'new.test' as Domain, day: DAY + 1 })], half), 0);
  });
});

test('a damaged file is moved aside', () => {
  const path = newPath();
  writeFileSync(path, 'this is no database, whatever its name says'.repeat(100));
  using(path, (store) => assert.equal(store.add([one()], half), 0));
  assert.ok(readdirSync(folder).some((name) => name.endsWith('.damaged')));
});
