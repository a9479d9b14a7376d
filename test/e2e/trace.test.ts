/** `postern trace` through the process: what happened to a message, and in one plain sentence why it waits. Over a restart and without its file, too. */
import { strict as assert } from 'node:assert';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TraceDocument } from '../../src/admin/trace-format.ts';
import { connectorTo, type Receivers, startReceivers } from '../support/lab-relay.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { submit } from '../support/submit.ts';
import { type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const NAMES = ['starttls-absent', 'tls13', 'rcpt-550', 'ecdhe-cbc-only'] as const;
const SENTENCE =
  / {4}\[127\.1\.31\.1\] does not offer STARTTLS, and connector starttls-absent-lab-test demands TLS; the message waits and is tried again at [-0-9]+ [:0-9]+Z\. \[4\.4\.317\]\n/;

describe('trace', () => {
  let receivers: Receivers<(typeof NAMES)[number]>;
  let home: Receivers<'tls12-only'>;
  let relay: TempRelay;
  before(async () => {
    receivers = await startReceivers(NAMES, 31);
    home = await startReceivers(['tls12-only'], 32);
    const connectors = receivers.all.map((receiver) =>
      connectorTo(receiver, receiver.behaviour === 'starttls-absent' ? { mode: 'encrypt' } : {}),
    );
    relay = await tempRelay({
      yaml: `acceptedDomains: ["*.lab.test"]\nworkers: 1\noutbound:
${[...connectors, connectorTo(home.of('tls12-only'), { domain: 'sender.test' })].join('\n')}`,
      queue: 'retry: [1h]',
    });
    await relay.start();
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    await relay[Symbol.asyncDispose]();
    await Promise.all([receivers.stop(), home.stop()]);
    assert.equal(code, 0, relay.output());
  });

  const send = async (to: string | readonly string[]): Promise<string> => (await submit(relay, { to }))[0] ?? '';
  const trace = async (...words: readonly string[]): Promise<string> => {
    const { code, out, err } = await relay.run('trace', ...words);
    assert.equal(code, 0, out + err);
    return out;
  };
  /** What is recorded is on its way for a moment: asks again until the trace says it. */
  const shows = async (about: string, pattern: RegExp): Promise<string> => {
    let text = await trace(about);
    for (let tries = 0; !pattern.test(text) && tries < 20; tries += 1) text = await trace(about);
    assert.match(text, pattern);
    return text;
  };
  let waiting: string;

  test('STARTTLS stripped under encrypt: one sentence says why the message waits', async () => {
    waiting = await send('user@starttls-absent.lab.test');
    await relay.waitForLog('delivery.deferred');
    const text = await shows(waiting, SENTENCE);
    assert.match(text, /^\S+ {2}WAITS {2}from user@sender\.test to user@starttls-absent\.lab\.test, \d+ B\n/);
    assert.match(text, /accepted +from client\.test \[127\.0\.0\.1\], listener test +plaintext\n/);
  });

  test('delivered: over which TLS, at which rung, and what was left before', async () => {
    const [best, second] = [await send('user@tls13.lab.test'), await send('user@ecdhe-cbc-only.lab.test')];
    await relay.waitForLog('delivery.delivered', 2);
    await shows(best, /delivered +\[127\.1\.31\.2\] +TLSv1\.3 X25519MLKEM768, rung modern\n(.*\n)*.* 250 /);
    const text = await shows(second, /TLSv1\.2 \S+, rung compatible\n/);
    assert.match(text, /rungs that failed before: modern \(handshake\)/);
  });

  test('bounced: the reply, the notice, and the life of the notice', async () => {
    const id = await send(['user@rcpt-550.lab.test', 'other@rcpt-550.lab.test']);
    await relay.waitForLog('bounce.created');
    await relay.waitForLog('delivery.delivered', 3);
    const text = await shows(id, /failure notice/);
    assert.match(text, /RETURNED/);
    assert.match(text, /said: 550 5\.1\.1 no such user; trying again cannot help, and the message goes back to its sender\./);
    const noticeId = /failure notice (\S+) to user@sender\.test/.exec(text)?.[1] ?? '';
    assert.match(
      await trace(noticeId),
      /delivered {2}a notice to user@sender\.test about \S+\n.*made here.*\n.*delivered .*TLSv1\.2/,
    );
  });

  test('by address, as JSON, bounded', async () => {
    const mine: TraceDocument = JSON.parse(await trace('other@rcpt-550.lab.test', '--json'));
    assert.equal(mine.messages.length, 1);
    assert.doesNotMatch(JSON.stringify(mine.messages), /"user@rcpt/, 'nothing about another recipient');
    const sender: TraceDocument = JSON.parse(await trace('user@sender.test', '--json', '--limit', '2'));
    assert.deepEqual([sender.messages.length, sender.complete], [2, false]);
    const nobody = await relay.run('trace', 'nobody@tls13.lab.test');
    assert.deepEqual([nobody.code, nobody.out.split('.')[0]], [1, 'Nothing is known of it']);
    assert.equal((await relay.run('trace', 'nobody')).code, 2);
  });

  test('what operators did to it', async () => {
    await relay.run('queue', 'hold', '--domain', 'starttls-absent.lab.test');
    await shows(waiting, /hold +by an operator: everything for starttls-absent\.lab\.test\n/);
    await relay.run('queue', 'bounce', waiting);
    await relay.run('queue', 'release', waiting);
    await relay.run('queue', 'bounce', waiting);
    const text = await shows(waiting, /given up +by an operator: user@starttls-absent\.lab\.test\n/);
    assert.match(text, /RETURNED/);
  });

  test('the history survives a restart; without it, or with a damaged one, the relay runs on', async () => {
    const file = join(relay.folder, 'data', 'history.db');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(await relay.kill('SIGTERM'), 0);
    await relay.start();
    await shows(waiting, SENTENCE);
    assert.equal(await relay.kill('SIGTERM'), 0);
    writeFileSync(file, 'no history at all, but long enough to be looked at. '.repeat(100));
    await relay.start();
    const [line] = await relay.waitForLog('history.trouble');
    assert.match(String(line?.['text']), /a new history begins/);
    assert.ok(existsSync(`${file}.damaged`));
    const delivered = relay.log.filter(({ event }) => event === 'delivery.delivered').length;
    const id = await send('user@tls13.lab.test');
    await relay.waitForLog('delivery.delivered', delivered + 1);
    await shows(id, /delivered/);
  });
});
