/** Every statement of the hot paths goes by an index: a million waiting messages cost a lookup, not a walk. */
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CHANGES } from '../../src/spool/sqlite-changes.ts';
import { openDatabase } from '../../src/spool/sqlite-database.ts';
import { QUESTIONS } from '../../src/spool/sqlite-questions.ts';
import { filterSql, matchingSql, VIEWS } from '../../src/spool/sqlite-views.ts';
import { domain, id } from './messages.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-plans-'));
const opened = openDatabase(join(folder, 'queue.db'));
assert.ok(opened.ok);
const database = opened.value;
after(() => {
  database.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What SQLite says it would do, one step a line. */
const plan = (sql: string): string[] => {
  const parameters = sql.match(/\?/g)?.map(() => 1) ?? [];
  return database
    .prepare(`EXPLAIN QUERY PLAN ${sql}`)
    .all(...parameters)
    .map((row) => String(row['detail']));
};

/** Reads all of something on purpose: small tables, start and recovery over partial indexes, numbers for the operator. */
const WALKS: Readonly<Record<string, RegExp>> = {
  destinations: /^SCAN destinations$/,
  hosts: /^SCAN host_memory$/,
  policies: /^SCAN sts_policies$/,
  pruneManyPolicies: /sts_policies/,
  totals: /^SCAN totals$/,
  writeTotals: /^SCAN totals$/,
  pruneManyHosts: /host_memory/,
  unmarkDestinations: /^SCAN destinations$/,
  unleaseAll: /^SCAN recipients USING INDEX recipients_leased$/,
  leased: /^SCAN recipients USING INDEX recipients_leased$/,
  dueByDomain: /^SCAN recipients USING COVERING INDEX recipients_due$/,
  bodyFiles: /^SEARCH messages USING INDEX messages_body_file/,
  highestId: /^SEARCH messages$/,
};

for (const [name, sql] of Object.entries({ ...CHANGES, ...QUESTIONS })) {
  test(`${name}: by index`, () => {
    const steps = plan(sql);
    const allowed = WALKS[name];
    for (const step of steps) {
      if (allowed?.test(step)) continue;
      assert.doesNotMatch(step, /^SCAN (?!CONSTANT)|TEMP B-TREE/, `${step} in ${steps.join(' / ')}`);
    }
    if (allowed !== undefined)
      assert.ok(
        steps.some((step) => allowed.test(step)),
        steps.join(' / '),
      );
  });
}

test('what is due is found without looking at what is not: the covering index alone', () => {
  assert.deepEqual(plan(QUESTIONS.firstDue), ['SEARCH recipients USING COVERING INDEX recipients_due (domain=? AND due<?)']);
  assert.deepEqual(plan(QUESTIONS.nextDue), ['SEARCH recipients USING COVERING INDEX recipients_due (domain=?)']);
});

test('what must be looked at is found without looking at what must not', () => {
  const search = 'SEARCH recipients USING COVERING INDEX recipients_attention';
  assert.deepEqual(plan(QUESTIONS.firstAttention), [`${search} (domain=? AND attention<?)`]);
  assert.deepEqual(plan(QUESTIONS.nextAttention), [`${search} (domain=? AND attention>?)`]);
});

for (const [name, sql] of Object.entries({ ...CHANGES, ...QUESTIONS })) {
  if (!/WHERE message_id = \?/.test(sql)) continue;
  test(`${name}: straight to the message, however full its destination`, () => {
    assert.match(plan(sql)[0] ?? '', /\(message_id=\?/);
  });
}

test('stats: an index of what is queued, never the messages', () => {
  assert.match(plan(VIEWS.queued).join(), /^SCAN recipients USING COVERING INDEX recipients_(due|attention)$/);
  assert.deepEqual(plan(VIEWS.oldest), ['SCAN messages']);
});

const FILTERS = {
  all: {},
  domain: { domain: domain('one.test') },
  held: { state: 'held' },
  ids: { queueIds: [id('a')] },
  from: { from: 'a@one.test' },
} as const;

for (const [name, filter] of Object.entries(FILTERS)) {
  test(`an action on ${name}: in queue order without sorting, a slice at a time`, () => {
    const { from, where, order } = matchingSql(filter);
    const steps = plan(`SELECT r.message_id FROM ${from} WHERE ${where} ORDER BY ${order} LIMIT ?`);
    // The ids an operator names are few; sorting those is nothing.
    if (name !== 'ids') assert.ok(!steps.some((step) => step.includes('TEMP B-TREE')), steps.join(' / '));
  });
}

test('a page by queue id: straight to the messages', () => {
  const { from, where } = filterSql(FILTERS.ids);
  const steps = plan(`SELECT r.number FROM ${from} WHERE ${where}`);
  assert.ok(
    steps.some((step) => /SEARCH m USING (COVERING )?INDEX sqlite_autoindex_messages_1 \(queue_id=\?\)/.test(step)),
    steps.join(' / '),
  );
});
