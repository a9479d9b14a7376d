/**
 * What every store of the queue has to keep, told as scenarios. Run by <technology>-spool.test.ts against a fresh spool each time.
 * Nothing here looks behind the port; waiting is always for something the port promises.
 */
import { strict as assert } from 'node:assert';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { Instant, Milliseconds } from '../../src/domain/basics.ts';
import type { StoredPolicy } from '../../src/domain/mta-sts.ts';
import type { Body, Claim } from '../../src/domain/queue.ts';
import type { ClaimRequest, HostMemoryChange, Spool, SpoolAdmin } from '../../src/spool/spool.ts';
import { domain, failure, id, mailbox, message, settlement } from './messages.ts';

/** One queue, with as many clients as a test wants. Disposing closes everything and removes the files. */
export type SpoolUnderTest = AsyncDisposable & {
  connect(): Spool & SpoolAdmin;
  /** Closes the queue with all its clients and opens it again on the same files. */
  restart(): Promise<void>;
};

/** A long lease, and a short one. */
const LONG: Milliseconds = 600_000;
const SHORT: Milliseconds = 40;
const REQUEST: ClaimRequest = { limit: 10, perDestination: 10, except: [], leaseFor: LONG };
const never = (): AbortSignal => new AbortController().signal;
const far = (): Instant => (Date.now() + 3_600_000) as Instant;

/** What is due this moment; does not wait for more. */
export async function dueNow(spool: Spool, request: Partial<ClaimRequest> = {}): Promise<readonly Claim[]> {
  const control = new AbortController();
  const claims = spool.claim({ ...REQUEST, ...request }, control.signal);
  // Anything answered after the poll has been served before it: one turn of the store lies between.
  await spool.recallHosts();
  await spool.recallHosts();
  control.abort();
  return claims;
}

const accepted = async (spool: Spool, ...args: Parameters<Spool['accept']>): Promise<readonly Claim[]> => {
  const result = await spool.accept(...args);
  assert.ok(result.ok, 'accepted');
  return result.value;
};
const one = <T>(list: readonly T[]): T => {
  assert.equal(list.length, 1);
  return list[0] as T;
};
const settled = async (spool: Spool, ...args: Parameters<typeof settlement>): Promise<string> => {
  const result = await spool.settle(settlement(...args));
  return result.ok ? result.value : result.error.kind;
};
const bytesOf = async (body: Body): Promise<string> =>
  body.kind === 'memory' ? Buffer.from(body.wire).toString('latin1') : await readFile(body.path, 'latin1');

/** Registers the suite. */
export function spoolContract(name: string, open: () => Promise<SpoolUnderTest>): void {
  const scenario = (title: string, run: (spool: Spool & SpoolAdmin, queue: SpoolUnderTest) => Promise<void>): void => {
    it(title, async () => {
      await using queue = await open();
      await run(queue.connect(), queue);
    });
  };
  describe(`${name}: accept`, () => acceptScenarios(scenario));
  describe(`${name}: claim and settle`, () => claimScenarios(scenario));
  describe(`${name}: turns`, () => turnScenarios(scenario));
  describe(`${name}: attention`, () => attentionScenarios(scenario));
  describe(`${name}: leases`, () => leaseScenarios(scenario));
  describe(`${name}: bodies`, () => bodyScenarios(scenario));
  describe(`${name}: memory of hosts and destinations`, () => memoryScenarios(scenario));
  describe(`${name}: operators`, () => operatorScenarios(scenario));
}

type Scenario = (title: string, run: (spool: Spool & SpoolAdmin, queue: SpoolUnderTest) => Promise<void>) => void;

function acceptScenarios(scenario: Scenario): void {
  scenario('unclaimed: due at once, for anyone', async (spool, queue) => {
    assert.deepEqual(await accepted(spool, message('m1'), null), []);
    const claim = one(await dueNow(queue.connect()));
    assert.equal(claim.queueId, id('m1'));
    assert.equal(claim.recipients[0].attempts, 1);
  });
  scenario('claimed at birth: one claim a domain, with the very objects given', async (spool) => {
    const mixed = message('m1', { to: ['a@one.test', 'b@two.test', 'c@one.test'] });
    const claims = await accepted(spool, mixed, { leaseFor: LONG });
    assert.deepEqual(
      claims.map((claim) => [claim.domain, claim.recipients.map((r) => r.number), claim.fence]),
      [
        ['one.test', [0, 2], 1],
        ['two.test', [1], 1],
      ],
    );
    assert.ok(claims.every((claim) => claim.body === mixed.body && claim.envelope === mixed.envelope));
    assert.deepEqual(await dueNow(spool), []);
  });
  scenario('claimed at birth: a domain that is down is left queued', async (spool) => {
    await spool.markDestination({ domain: domain('two.test'), until: far() });
    const claims = await accepted(spool, message('m1', { to: ['a@one.test', 'b@two.test'] }), { leaseFor: LONG });
    assert.deepEqual(
      claims.map((claim) => claim.domain),
      ['one.test'],
    );
    assert.deepEqual((await spool.stats()).recipients, { queued: 1, leased: 1, held: 0 });
  });
  scenario('a queue id taken is refused, and spoils nothing that came with it', async (spool) => {
    const results = await Promise.all([
      spool.accept(message('same'), null),
      spool.accept(message('same'), null),
      spool.accept(message('other'), null),
    ]);
    assert.deepEqual(
      results.map((result) => result.ok),
      [true, false, true],
    );
    assert.equal((await spool.stats()).messages, 2);
  });
  scenario('an accepted message survives a restart whole', async (spool, queue) => {
    const full = message('m1', {
      to: ['a@one.test', 'b@two.test'],
      notify: ['success', 'delay'],
      originalRecipient: 'rfc822;a+2Bb@c',
      body: 'Header: x\r\n\r\n..dots\r\n\xff\r\n',
    });
    await accepted(spool, full, null);
    await queue.restart();
    const claims = await dueNow(queue.connect());
    assert.equal(claims.length, 2);
    const claim = claims.find((candidate) => candidate.domain === 'one.test');
    assert.deepEqual(claim?.envelope, full.envelope);
    assert.deepEqual(claim?.recipients[0].recipient, full.recipients[0]);
    assert.equal(claim && (await bytesOf(claim.body)), 'Header: x\r\n\r\n..dots\r\n\xff\r\n');
  });
  scenario('hundreds at once from several clients: each stored once', async (spool, queue) => {
    const clients = [spool, queue.connect(), queue.connect()];
    const names = Array.from({ length: 300 }, (_, index) => `m${index}`);
    await Promise.all(
      names.map((m, index) => accepted(clients[index % 3] ?? spool, message(m, { to: [`u@d${index % 7}.test`] }), null)),
    );
    const stats = await spool.stats();
    assert.equal(stats.messages, 300);
    const seen = new Set<string>();
    for (
      let claims = await dueNow(spool, { limit: 50, perDestination: 50 });
      claims.length > 0;
      claims = await dueNow(spool, { limit: 50, perDestination: 50 })
    ) {
      for (const claim of claims) seen.add(claim.queueId);
    }
    assert.equal(seen.size, 300);
  });
}

function claimScenarios(scenario: Scenario): void {
  scenario('all delivered: nothing is left', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    assert.equal(await settled(spool, claim, 'delivered'), 'settled');
    const { messages, bytes, recipients } = await spool.stats();
    assert.deepEqual({ messages, bytes, recipients }, { messages: 0, bytes: 0, recipients: { queued: 0, leased: 0, held: 0 } });
    assert.equal(await spool.show(id('m1')), null);
  });
  scenario('settled twice: stale', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    assert.deepEqual(await Promise.all([settled(spool, claim, 'delivered'), settled(spool, claim, 'delivered')]), [
      'settled',
      'stale',
    ]);
  });
  scenario('two domains: the message stays until both are done', async (spool) => {
    const claims = await accepted(spool, message('m1', { to: ['a@one.test', 'b@two.test'] }), { leaseFor: LONG });
    for (const [index, claim] of claims.entries()) {
      assert.equal((await spool.stats()).messages, 1);
      await settled(spool, claim, index === 0 ? 'delivered' : 'bounced');
    }
    assert.equal((await spool.stats()).messages, 0);
  });
  scenario('deferred: due when said, attempts counted, failure and connector kept', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    const due = (Date.now() + 60) as Instant;
    await settled(spool, claim, { becomes: 'queued', due, attention: far(), failure, delayNoticeSent: true });
    const entry = one((await spool.list({}, 10)).entries);
    assert.deepEqual(
      [entry.state, entry.attempts, entry.due, entry.connector, entry.lastFailure],
      ['queued', 1, due, 'default', failure],
    );
    const again = one(await spool.claim(REQUEST, never()));
    assert.ok(Date.now() >= due);
    assert.deepEqual([again.recipients[0].attempts, again.recipients[0].delayNoticeSent, again.fence], [2, true, 2]);
  });
  scenario('part delivered, part deferred: only the deferred come again', async (spool) => {
    const claim = one(
      await accepted(spool, message('m1', { to: ['a@one.test', 'b@one.test', 'c@one.test'] }), { leaseFor: LONG }),
    );
    const result = await spool.settle({
      ...settlement(claim, 'delivered'),
      recipients: [
        { number: 0, becomes: 'delivered' },
        { number: 1, becomes: 'queued', due: Date.now() as Instant, attention: far(), failure, delayNoticeSent: false },
        { number: 2, becomes: 'expired', failure },
      ],
    });
    assert.ok(result.ok);
    const again = one(await spool.claim(REQUEST, never()));
    assert.deepEqual(
      again.recipients.map((r) => r.number),
      [1],
    );
    assert.equal(again.recipients[0].recipient.mailbox.localPart, 'b');
  });
  scenario('a recipient the settlement forgets is due again', async (spool) => {
    const claim = one(await accepted(spool, message('m1', { to: ['a@one.test', 'b@one.test'] }), { leaseFor: LONG }));
    await spool.settle({ ...settlement(claim, 'delivered'), recipients: [{ number: 0, becomes: 'delivered' }] });
    assert.deepEqual(
      one(await spool.claim(REQUEST, never())).recipients.map((r) => r.number),
      [1],
    );
  });
  scenario('notices: queued with the settlement, due at once', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    const notice = message('n1', { to: ['sender@origin.test'], body: 'To: sender\r\n\r\nbounced\r\n' });
    await spool.settle({ ...settlement(claim, 'bounced'), notices: [notice] });
    const next = one(await spool.claim(REQUEST, never()));
    assert.deepEqual([next.queueId, await bytesOf(next.body)], [id('n1'), 'To: sender\r\n\r\nbounced\r\n']);
  });
  scenario('stale: its notices are not stored', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    await settled(spool, claim, 'delivered');
    await spool.settle({ ...settlement(claim, 'bounced'), notices: [message('n1')] });
    assert.equal((await spool.stats()).messages, 0);
  });
  scenario('waits until something is accepted elsewhere', async (spool, queue) => {
    const waiting = spool.claim(REQUEST, never());
    await accepted(queue.connect(), message('m1'), null);
    assert.equal(one(await waiting).queueId, id('m1'));
  });
  scenario('aborted: ends empty, and takes nothing along', async (spool) => {
    const control = new AbortController();
    const waiting = spool.claim(REQUEST, control.signal);
    control.abort();
    assert.deepEqual(await waiting, []);
    assert.deepEqual(await spool.claim(REQUEST, AbortSignal.abort()), []);
    await accepted(spool, message('m1'), null);
    assert.equal(one(await spool.claim(REQUEST, never())).queueId, id('m1'));
  });
  scenario('aborted while claims are on their way: they come again, uncounted', async (spool) => {
    await accepted(spool, message('m1'), null);
    const control = new AbortController();
    const waiting = spool.claim(REQUEST, control.signal);
    setImmediate(() => control.abort());
    const first = await waiting;
    if (first.length > 0) await spool.release(first);
    assert.equal(one(await spool.claim(REQUEST, never())).recipients[0].attempts, 1);
  });
}

function turnScenarios(scenario: Scenario): void {
  const fill = async (spool: Spool, counts: Readonly<Record<string, number>>): Promise<void> => {
    for (const [name, count] of Object.entries(counts)) {
      for (let index = 0; index < count; index++) await accepted(spool, message(`${name}-${index}`, { to: [`u@${name}`] }), null);
    }
  };
  const count = (claims: readonly Claim[]): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const claim of claims) counts[claim.domain] = (counts[claim.domain] ?? 0) + 1;
    return counts;
  };
  scenario('destinations in turn: a crowd does not keep the single one out', async (spool) => {
    await fill(spool, { 'crowd.test': 8, 'single.test': 1 });
    assert.equal(count(await dueNow(spool, { limit: 4 }))['single.test'], 1);
  });
  scenario('never more of a destination than asked for, none of the excepted', async (spool) => {
    await fill(spool, { 'one.test': 5, 'two.test': 5, 'three.test': 5 });
    const claims = await dueNow(spool, { limit: 9, perDestination: 2, except: [domain('three.test')] });
    assert.deepEqual(count(claims), { 'one.test': 2, 'two.test': 2 });
  });
  scenario('oldest first within a destination', async (spool) => {
    await fill(spool, { 'one.test': 3 });
    const claims = [
      ...(await dueNow(spool, { limit: 1 })),
      ...(await dueNow(spool, { limit: 1 })),
      ...(await dueNow(spool, { limit: 1 })),
    ];
    assert.deepEqual(
      claims.map((claim) => claim.queueId),
      [id('one.test-0'), id('one.test-1'), id('one.test-2')],
    );
  });
  scenario('two clients never hold the same', async (spool, queue) => {
    await fill(spool, { 'one.test': 20, 'two.test': 20 });
    const other = queue.connect();
    const batches = await Promise.all([spool, other, spool, other].map((client) => client.claim(REQUEST, never())));
    const ids = batches.flat().map((claim) => claim.queueId);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ids.length, 40);
  });
  scenario('a destination marked down is left alone, and comes back when marked up', async (spool) => {
    await fill(spool, { 'one.test': 2, 'two.test': 1 });
    await spool.markDestination({ domain: domain('one.test'), until: far() });
    assert.deepEqual(count(await dueNow(spool)), { 'two.test': 1 });
    assert.ok(one((await spool.list({ domain: domain('one.test') }, 1)).entries).due > Date.now());
    await spool.markDestination({ domain: domain('one.test'), until: 0 as Instant });
    assert.deepEqual(count(await spool.claim(REQUEST, never())), { 'one.test': 2 });
  });
  scenario('a destination whose down ends wakes who waits', async (spool) => {
    await spool.markDestination({ domain: domain('one.test'), until: (Date.now() + 50) as Instant });
    await fill(spool, { 'one.test': 1 });
    assert.equal((await spool.claim(REQUEST, never())).length, 1);
  });
  scenario('a down survives a restart', async (spool, queue) => {
    await spool.markDestination({ domain: domain('one.test'), until: far() });
    await fill(spool, { 'one.test': 1 });
    await queue.restart();
    assert.deepEqual(await dueNow(queue.connect()), []);
  });
}

/** A message of one.test, deferred to be due and looked at when said (milliseconds from now), whose destination is then down. */
async function waitsWhileDown(
  spool: Spool,
  name: string,
  at: { readonly due: number; readonly attention: number },
): Promise<void> {
  const claim = one(await accepted(spool, message(name), { leaseFor: LONG }));
  const [due, attention] = [at.due, at.attention].map((wait) => (Date.now() + wait) as Instant);
  assert.ok(due !== undefined && attention !== undefined);
  await settled(spool, claim, { becomes: 'queued', due, attention, failure, delayNoticeSent: false });
}
const HOUR: Milliseconds = 3_600_000;

function attentionScenarios(scenario: Scenario): void {
  const oneIsDown = (spool: Spool): Promise<void> => spool.markDestination({ domain: domain('one.test'), until: far() });
  scenario('come: handed out though the destination is down, and says so', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: HOUR, attention: -1 });
    await oneIsDown(spool);
    const claim = one(await dueNow(spool));
    assert.deepEqual([claim.attention, claim.recipients[0].attempts, claim.fence], [true, 2, 2]);
    assert.deepEqual(await dueNow(spool), []);
  });
  scenario('not come: left alone, though due', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: -1, attention: HOUR });
    await oneIsDown(spool);
    assert.deepEqual(await dueNow(spool), []);
  });
  scenario('counts for nothing while the destination is up: what is due is handed out', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: HOUR, attention: -1 });
    await waitsWhileDown(spool, 'm2', { due: -1, attention: HOUR });
    const claim = one(await dueNow(spool));
    assert.deepEqual([claim.queueId, claim.attention], [id('m2'), false]);
  });
  scenario('wakes who waits', async (spool) => {
    await oneIsDown(spool);
    await accepted(spool, message('m0'), null);
    const waiting = spool.claim(REQUEST, never());
    await spool.markDestination({ domain: domain('one.test'), until: 0 as Instant });
    const claim = one(await waiting);
    const attention = (Date.now() + 60) as Instant;
    await settled(spool, claim, { becomes: 'queued', due: far(), attention, failure, delayNoticeSent: false });
    await oneIsDown(spool);
    assert.equal(one(await spool.claim(REQUEST, never())).attention, true);
    assert.ok(Date.now() >= attention);
  });
  scenario('oldest first, never more of a destination than asked for', async (spool) => {
    for (const [name, attention] of Object.entries({ m1: -1000, m2: -3000, m3: -2000, m4: HOUR }))
      await waitsWhileDown(spool, name, { due: HOUR, attention });
    await oneIsDown(spool);
    const ids = async (): Promise<string[]> => (await dueNow(spool, { perDestination: 2 })).map((claim) => claim.queueId);
    assert.deepEqual(await ids(), [id('m2'), id('m3')]);
    assert.deepEqual([...(await ids()), ...(await ids())], [id('m1')]);
  });
  scenario('settled untried: the attempt is not counted, and it is quiet until its next attention time', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: HOUR, attention: -1 });
    await oneIsDown(spool);
    const claim = one(await dueNow(spool));
    const later = { becomes: 'queued', due: far(), attention: far(), failure, delayNoticeSent: true } as const;
    assert.ok((await spool.settle({ ...settlement(claim, later), untried: true })).ok);
    assert.equal(one((await spool.list({}, 10)).entries).attempts, 1);
    assert.deepEqual(await dueNow(spool), []);
  });
  scenario('released: kept, so it is handed out again', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: HOUR, attention: -1 });
    await oneIsDown(spool);
    await spool.release(await dueNow(spool));
    const claim = one(await dueNow(spool));
    assert.deepEqual([claim.attention, claim.recipients[0].attempts], [true, 2]);
  });
  scenario('never tried: an hour after it was received, unclaimed or given back', async (spool, queue) => {
    const given = [
      ['old', { receivedAt: (Date.now() - HOUR) as Instant }],
      ['young', {}],
    ] as const;
    for (const [age, change] of given) {
      await spool.release(await accepted(spool, message(`released-${age}`, change), { leaseFor: LONG }));
      await oneIsDown(spool);
      await accepted(spool, message(`unclaimed-${age}`, change), null);
      await accepted(spool, message(`down-${age}`, change), { leaseFor: LONG });
      await accepted(spool, message(`many-${age}`, { ...change, to: ['a@one.test', 'b@one.test'] }), null);
      if (age === 'old') await spool.markDestination({ domain: domain('one.test'), until: 0 as Instant });
      if (age === 'old') await spool.release(await dueNow(spool));
    }
    await queue.restart();
    const claims = await dueNow(queue.connect());
    const names = ['released', 'unclaimed', 'down', 'many'].map((name) => id(`${name}-old`));
    assert.deepEqual(claims.map((claim) => claim.queueId).sort(), names.sort());
    assert.ok(claims.every((claim) => claim.attention));
  });
  scenario('a lease that a crash ended is looked at, too', async (spool, queue) => {
    await accepted(spool, message('m1', { receivedAt: (Date.now() - HOUR) as Instant }), { leaseFor: LONG });
    await oneIsDown(spool);
    await queue.restart();
    assert.equal(one(await dueNow(queue.connect())).attention, true);
  });
  scenario('held mail is not looked at until it is released', async (spool) => {
    await waitsWhileDown(spool, 'm1', { due: HOUR, attention: -1 });
    await oneIsDown(spool);
    await spool.act('hold', {});
    assert.deepEqual(await dueNow(spool), []);
    await spool.act('release', {});
    assert.equal(one(await dueNow(spool)).attention, true);
  });
}

function leaseScenarios(scenario: Scenario): void {
  scenario('ran out: due again with a higher fence, the first owner is stale', async (spool, queue) => {
    const first = one(await accepted(spool, message('m1'), { leaseFor: SHORT }));
    const other = queue.connect();
    const second = one(await other.claim(REQUEST, never()));
    assert.ok(second.fence > first.fence);
    assert.equal(second.recipients[0].attempts, 2);
    assert.equal(await settled(spool, first, 'delivered'), 'stale');
    assert.equal(await settled(other, second, 'delivered'), 'settled');
  });
  scenario('renewed: does not run out', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: 150 }));
    await spool.renew([claim], LONG);
    await new Promise((resolve) => setTimeout(resolve, 250));
    assert.deepEqual(await dueNow(spool), []);
    assert.equal(await settled(spool, claim, 'delivered'), 'settled');
  });
  scenario('released: due at once, the attempt not counted, the owner stale', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    await spool.release([claim]);
    const again = one(await spool.claim(REQUEST, never()));
    assert.equal(again.recipients[0].attempts, 1);
    assert.ok(again.fence > claim.fence);
    assert.equal(await settled(spool, claim, 'delivered'), 'stale');
  });
  scenario('a client that goes leaves its claims to the others', async (spool, queue) => {
    const other = queue.connect();
    await accepted(other, message('m1'), { leaseFor: LONG });
    await other.close();
    assert.equal(one(await spool.claim(REQUEST, never())).queueId, id('m1'));
  });
  scenario('a restart returns all leases, attempts counted, with higher fences', async (spool, queue) => {
    const before = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    await queue.restart();
    const claim = one(await queue.connect().claim(REQUEST, never()));
    assert.equal(claim.recipients[0].attempts, 2);
    assert.ok(claim.fence > before.fence);
  });
  scenario('closing waits for what was asked before, and ends a poll empty', async (spool, queue) => {
    const waiting = spool.claim({ ...REQUEST, except: [domain('one.test')] }, never());
    const stored = spool.accept(message('m1'), null);
    await spool.close();
    assert.ok((await stored).ok);
    assert.deepEqual(await waiting, []);
    assert.equal((await queue.connect().stats()).messages, 1);
  });
  scenario('a closed spool says so', async (spool) => {
    await spool.close();
    const result = await spool.accept(message('m1'), null);
    assert.equal(result.ok ? 'accepted' : result.error.kind, 'closed');
    assert.deepEqual(await spool.claim(REQUEST, never()), []);
    assert.equal(spool.health().writable, false);
    await spool.close();
  });
}

function bodyScenarios(scenario: Scenario): void {
  const large = async (spool: Spool, text: string): Promise<Body> => {
    const writer = await spool.createBody();
    assert.ok(writer.ok);
    for (let at = 0; at < text.length; at += 100_000) {
      const chunk = Buffer.from(text.slice(at, at + 100_000), 'latin1');
      assert.ok((await writer.value.write(chunk)).ok);
      chunk.fill(0);
    }
    const body = await writer.value.finish();
    assert.ok(body.ok);
    return body.value;
  };
  const text = Array.from({ length: 20_000 }, (_, index) => `line ${index} of a large message\r\n`).join('');
  scenario('large: written while it arrives, read back the same after a restart', async (spool, queue) => {
    const body = await large(spool, text);
    assert.deepEqual([body.kind, body.kind === 'file' && body.wireBytes], ['file', text.length]);
    await accepted(spool, message('m1', { body }), null);
    await queue.restart();
    assert.equal(await bytesOf(one(await queue.connect().claim(REQUEST, never())).body), text);
  });
  scenario('large: removed after the message', async (spool) => {
    const body = await large(spool, text);
    const claim = one(await accepted(spool, message('m1', { body }), { leaseFor: LONG }));
    await settled(spool, claim, 'delivered');
    while ((await bytesOf(body).catch(() => null)) !== null) await spool.stats();
  });
  scenario('abandoned: nothing is left of it', async (spool) => {
    const writer = await spool.createBody();
    assert.ok(writer.ok);
    await writer.value.write(Buffer.from('half'));
    await writer.value.abandon();
    await writer.value.abandon();
    const whole = await spool.createBody();
    assert.ok(whole.ok);
    await whole.value.write(Buffer.from('whole'));
    const body = await whole.value.finish();
    assert.ok(body.ok);
    await whole.value.abandon();
    await assert.rejects(bytesOf(body.value));
  });
  scenario('empty and small ones, many in one turn, each its own', async (spool) => {
    const texts = ['', 'a\r\n', 'bb\r\n', '\x00\xff\r\n'];
    await Promise.all(texts.map((body, index) => accepted(spool, message(`m${index}`, { body }), null)));
    const claims = await dueNow(spool);
    const found = await Promise.all(claims.map(async (claim) => [claim.queueId, await bytesOf(claim.body)]));
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(texts.map((body, index) => [id(`m${index}`), body])));
  });
}

const POLICY = {
  domain: domain('sts.test'),
  id: '20260101T1',
  mode: 'enforce',
  mx: [
    { kind: 'exact', domain: domain('mx.sts.test') },
    { kind: 'one-below', domain: domain('sts.test') },
  ],
  maxAgeSeconds: 604_800,
} as const;

function memoryScenarios(scenario: Scenario): void {
  const memory = { host: 'mx.test', address: '127.0.0.9', rung: 'compatible', since: Date.now() as Instant } as const;
  scenario('a host is remembered for every thread and across restarts, and forgotten', async (spool, queue) => {
    const other = queue.connect();
    const heard: HostMemoryChange[] = [];
    other.onHostMemory((change) => heard.push(change));
    await other.recallHosts();
    await spool.rememberHost({ ...memory, rung: 'modern' });
    await spool.rememberHost(memory);
    assert.deepEqual(await other.recallHosts(), [memory]);
    assert.deepEqual(heard.at(-1), { kind: 'remember', memory });
    await queue.restart();
    const later = queue.connect();
    assert.deepEqual(await later.recallHosts(), [memory]);
    await later.forgetHost(memory.host, memory.address);
    assert.deepEqual(await later.recallHosts(), []);
  });
  scenario('an MTA-STS policy is kept for every thread and across restarts, and replaced', async (spool, queue) => {
    const policy = { ...POLICY, fetchedAt: Date.now() as Instant, usedAt: Date.now() as Instant };
    const other = queue.connect();
    const heard: StoredPolicy[] = [];
    other.onPolicy((kept) => heard.push(kept));
    await other.recallPolicies();
    await spool.keepPolicy({ ...policy, id: 'old', mode: 'testing' });
    await spool.keepPolicy(policy);
    assert.deepEqual(await other.recallPolicies(), [policy]);
    assert.deepEqual(heard.at(-1), policy);
    await queue.restart();
    assert.deepEqual(await queue.connect().recallPolicies(), [policy]);
  });
  scenario('an MTA-STS policy that has ended is removed at the next start', async (spool, queue) => {
    const now = Date.now() as Instant;
    const before = (Date.now() - (POLICY.maxAgeSeconds + 1) * 1000) as Instant;
    const alive = { ...POLICY, fetchedAt: now, usedAt: now };
    await spool.keepPolicy({ ...POLICY, domain: domain('over.test'), fetchedAt: before, usedAt: before });
    await spool.keepPolicy(alive);
    await queue.restart();
    assert.deepEqual(await queue.connect().recallPolicies(), [alive]);
  });
  scenario('a host not met for thirty days is forgotten at the next start', async (spool, queue) => {
    await spool.rememberHost({ ...memory, since: (Date.now() - 31 * 86_400_000) as Instant });
    await queue.restart();
    assert.deepEqual(await queue.connect().recallHosts(), []);
  });
}

function operatorScenarios(scenario: Scenario): void {
  const queued = async (spool: Spool): Promise<void> => {
    await accepted(spool, message('m1', { to: ['a@one.test', 'b@two.test'], from: 'x@origin.test' }), null);
    await accepted(spool, message('m2', { to: ['c@one.test'], from: null }), null);
  };
  scenario('list: oldest first, filtered by every field, with totals', async (spool) => {
    await queued(spool);
    const recipients = async (filter: Parameters<SpoolAdmin['list']>[0]): Promise<string[]> =>
      (await spool.list(filter, 10)).entries.map((entry) => entry.recipient);
    assert.deepEqual(await recipients({}), ['a@one.test', 'b@two.test', 'c@one.test']);
    assert.deepEqual(await recipients({ domain: domain('one.test') }), ['a@one.test', 'c@one.test']);
    assert.deepEqual(await recipients({ from: 'x@origin.test' }), ['a@one.test', 'b@two.test']);
    assert.deepEqual(await recipients({ from: '' }), ['c@one.test']);
    assert.deepEqual(await recipients({ queueIds: [id('m1')], domain: domain('two.test') }), ['b@two.test']);
    assert.deepEqual(await recipients({ state: 'held' }), []);
    assert.deepEqual(await recipients({ connector: 'default' }), []);
    const page = await spool.list({}, 2);
    assert.deepEqual([page.entries.length, page.total], [2, 3]);
  });
  scenario('show and body', async (spool) => {
    await queued(spool);
    const shown = await spool.show(id('m1'));
    assert.deepEqual([shown?.entries.length, shown?.message.envelope.queueId], [2, id('m1')]);
    const body = await spool.body(id('m1'));
    assert.equal(body && (await bytesOf(body)), 'Subject: test\r\n\r\nhello\r\n');
    assert.deepEqual([await spool.show(id('none')), await spool.body(id('none'))], [null, null]);
  });
  scenario('stats: by state and domain', async (spool) => {
    await queued(spool);
    await accepted(spool, message('m3', { to: ['d@one.test'] }), { leaseFor: LONG });
    const stats = await spool.stats();
    assert.deepEqual([stats.messages, stats.recipients], [3, { queued: 3, leased: 1, held: 0 }]);
    assert.deepEqual(
      stats.domains.map((row) => [row.domain, row.recipients]),
      [
        ['one.test', 3],
        ['two.test', 1],
      ],
    );
    assert.equal(stats.oldest, message('m1').envelope.receivedAt);
  });
  scenario('hold, release: held mail is not delivered until released', async (spool) => {
    await queued(spool);
    assert.deepEqual(await spool.act('hold', { domain: domain('one.test') }), { ok: true, value: 2 });
    assert.deepEqual(
      (await dueNow(spool)).map((claim) => claim.domain),
      ['two.test'],
    );
    assert.deepEqual(await spool.act('release', {}), { ok: true, value: 2 });
    assert.equal((await dueNow(spool)).length, 2);
  });
  scenario('retry: due now, though it was deferred and its destination down', async (spool) => {
    const claim = one(await accepted(spool, message('m1'), { leaseFor: LONG }));
    await settled(spool, claim, { becomes: 'queued', due: far(), attention: far(), failure, delayNoticeSent: false });
    await spool.markDestination({ domain: claim.domain, until: far() });
    assert.deepEqual(await spool.act('retry', { connector: 'default' }), { ok: true, value: 1 });
    assert.equal((await spool.claim(REQUEST, never())).length, 1);
  });
  scenario('remove: gone, but never what is leased', async (spool) => {
    await queued(spool);
    const leased = one(await accepted(spool, message('m3', { to: ['d@one.test'] }), { leaseFor: LONG }));
    assert.deepEqual(await spool.act('remove', {}), { ok: true, value: 3 });
    assert.equal((await spool.stats()).messages, 1);
    assert.equal(await settled(spool, leased, 'delivered'), 'settled');
  });
  scenario('an action on more than one transaction takes reaches all', async (spool) => {
    await Promise.all(Array.from({ length: 1300 }, (_, index) => accepted(spool, message(`m${index}`), null)));
    assert.deepEqual(await spool.act('hold', {}), { ok: true, value: 1300 });
    assert.deepEqual((await spool.stats()).recipients, { queued: 0, leased: 0, held: 1300 });
  });
  scenario('claimMatching: due or not, held or not, never leased; to be settled as bounced', async (spool) => {
    await queued(spool);
    await spool.act('hold', { queueIds: [id('m2')] });
    await accepted(spool, message('m3', { to: ['d@one.test'] }), { leaseFor: LONG });
    const claims = await spool.claimMatching({ domain: domain('one.test') }, 10, LONG);
    assert.deepEqual(claims.map((claim) => claim.queueId).sort(), [id('m1'), id('m2')].sort());
    assert.deepEqual(await spool.claimMatching({ domain: domain('one.test') }, 10, LONG), []);
    for (const claim of claims) assert.equal(await settled(spool, claim, 'bounced'), 'settled');
    assert.deepEqual((await spool.stats()).recipients, { queued: 1, leased: 1, held: 0 });
  });
  scenario('claimMatching given up: what was held is held again', async (spool) => {
    await queued(spool);
    await spool.act('hold', {});
    const claims = await spool.claimMatching({}, 1, LONG);
    await spool.release(claims);
    assert.deepEqual((await spool.stats()).recipients, { queued: 0, leased: 0, held: 3 });
  });
  scenario('a filter by mailbox case: the reverse-path as the client wrote it', async (spool) => {
    await accepted(spool, message('m1', { from: 'Mixed.Case@origin.test' }), null);
    assert.equal((await spool.list({ from: 'Mixed.Case@origin.test' }, 5)).entries.length, 1);
    assert.equal(mailbox('Mixed.Case@origin.test').localPart, 'Mixed.Case');
  });
}
