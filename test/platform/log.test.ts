import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LineWriter, lineWriter } from '../../src/platform/line-writer.ts';
import { type LogOptions, openLog } from '../../src/platform/log.ts';
import { prettyLine } from '../../src/platform/log-line-format.ts';
import { addressForLog, textForLog } from '../../src/platform/log-privacy-format.ts';
import { testClock } from '../support/clock.ts';

function gather(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const writer: LineWriter = { write: (line) => void lines.push(line), flush: () => {}, lost: 0 };
  const log = openLog(
    { level: 'info', addresses: 'full', format: 'json', colour: false, clock: testClock(), base: {}, ...options },
    writer,
  );
  const first = (): Record<string, unknown> => JSON.parse(lines[0] ?? 'null');
  return { log, lines, first };
}

test('a line is level, time, base, event, then the fields in order', () => {
  const { log, lines } = gather({ base: { thread: 2 } });
  log.info('message.accepted', {
    queueId: 'A1',
    from: 'a@example.org',
    tls: { version: 'TLSv1.3' },
    gone: undefined,
    none: null,
  });
  assert.deepEqual(lines, [
    '{"level":"info","time":"2026-01-01T00:00:00.000Z","thread":2,"event":"message.accepted","queueId":"A1","from":"a@example.org","tls":{"version":"TLSv1.3"},"none":null}\n',
  ]);
});

test('the level filters, and can be changed', () => {
  const { log, lines } = gather();
  log.debug('x', {});
  log.reconfigure({ level: 'debug', addresses: 'full' });
  log.debug('y', {});
  assert.equal(lines.length, 1);
});

test('secrets are blanked at any depth', () => {
  const { log, lines } = gather();
  log.warn('x', {
    password: 'hunter2',
    route: { auth: { user: 'u', pass: 'hunter2' } },
    list: [{ token: 'hunter2' }],
    ticketKeys: 'hunter2',
  });
  assert.doesNotMatch(lines.join(), /hunter2/);
  assert.match(lines.join(), /redacted/);
});

test('a line never throws and is always one line of JSON', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const { log, lines } = gather();
  log.error('x', { circle, big: 10n, error: new Error('a\nb'), nan: Number.NaN, map: new Map(), fn: () => 1 });
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.indexOf('\n'), (lines[0]?.length ?? 0) - 1);
  assert.match(JSON.parse(lines[0] ?? '').error, /Error: a\nb/);
});

test('whatever a peer says, no line holds a character that a terminal obeys', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), fc.boolean(), (text, pretty) => {
      const { log, lines } = gather({ format: pretty ? 'pretty' : 'json' });
      log.info(text, { reply: { text }, [text]: text, text, list: [text] });
      assert.equal(lines.length, 1);
      assert.doesNotMatch((lines[0] ?? '').slice(0, -1), /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/);
    }),
  );
});

const addresses: readonly (readonly [address: string, domain: string, hashed: RegExp])[] = [
  ['Jane.Doe@Example.ORG', '…@example.org', /^#[0-9a-f]{16}$/],
  ['"a@b"@example.org', '…@example.org', /^#[0-9a-f]{16}$/],
  ['nodomain', '…', /^#[0-9a-f]{16}$/],
  ['', '', /^$/],
];
for (const [address, domain, hashed] of addresses) {
  test(`privacy of <${address}>`, () => {
    assert.equal(addressForLog(address, 'full'), address);
    assert.equal(addressForLog(address, 'domain'), domain);
    assert.match(addressForLog(address, 'hashed'), hashed);
  });
}

test('the pseudonym is the same however the domain is written, and another for another mailbox', () => {
  assert.equal(addressForLog('a@EXAMPLE.org', 'hashed'), addressForLog('a@example.org', 'hashed'));
  assert.notEqual(addressForLog('a@example.org', 'hashed'), addressForLog('b@example.org', 'hashed'));
});

test('addresses inside a reply are hidden, too', () => {
  assert.equal(textForLog('5.1.1 <jane@example.org>: unknown', 'domain'), '5.1.1 <…@example.org>: unknown');
  const { log, first } = gather({ addresses: 'domain' });
  log.info('delivery.failed', { from: 'a@x.test', to: ['b@y.test'], reply: { text: 'no b@y.test here' } });
  assert.deepEqual(first()['to'], ['…@y.test']);
  assert.deepEqual(first()['reply'], { text: 'no …@y.test here' });
});

test('pretty: time, level, event, sentence, facts; nulls say nothing', () => {
  const json = JSON.stringify({
    level: 'info',
    time: '2026-01-01T10:20:30.456Z',
    event: 'delivery.delivered',
    text: 'Carried.',
    to: 'a@b.test',
    tls: { version: 'TLSv1.3', peer: null },
    reply: { code: 250, text: 'Ok "x"' },
    list: ['a', 'b'],
  });
  assert.equal(
    prettyLine(json, false),
    '10:20:30.456 INFO  delivery.delivered  Carried.  to=a@b.test  tls.version=TLSv1.3  reply.code=250  reply.text="Ok \\"x\\""  list=a,b\n',
  );
  assert.equal(
    prettyLine('{"level":"info","time":"","event":"x","listeners":[{"name":"mx","port":25},{"name":"in","port":26}]}', false),
    ' INFO  x  listeners="mx 25","in 26"\n',
  );
  assert.match(prettyLine('{"level":"error","time":"","event":"x"}', true), /^\x1b\[31m.*\x1b\[0m/);
  assert.equal(prettyLine('not json\n', false), 'not json\n');
});

test('a write holds whole lines and at most 4096 bytes; a longer line goes alone', () => {
  const chunk = fc.array(fc.string({ unit: 'grapheme', maxLength: 3000 }), { maxLength: 30 });
  fc.assert(
    fc.property(chunk, (texts) => {
      const writes: Buffer[] = [];
      const writer = lineWriter((bytes) => writes.push(Buffer.from(bytes)) && bytes.length);
      const lines = texts.map((text) => `${text.replaceAll('\n', ' ')}\n`);
      for (const line of lines) writer.write(line);
      writer.flush();
      assert.equal(Buffer.concat(writes).toString(), lines.join('').toWellFormed());
      for (const write of writes) {
        assert.equal(write.at(-1), 0x0a);
        assert.ok(write.length <= 4096 || write.indexOf(0x0a) === write.length - 1);
      }
    }),
    { numRuns: 30 },
  );
});

const busy = Object.assign(new Error('busy'), { code: 'EAGAIN' });
const gone = Object.assign(new Error('gone'), { code: 'EPIPE' });

test('a reader that is not ready loses nothing', () => {
  const taken: Buffer[] = [];
  let calls = 0;
  const writer = lineWriter((bytes) => {
    calls += 1;
    if (calls % 3 !== 0) throw busy;
    const part = Buffer.from(bytes.subarray(0, 5));
    taken.push(part);
    return part.length;
  });
  const lines = Array.from({ length: 4 }, (_, number) => `line ${number}\n`);
  for (const line of lines) {
    writer.write(line);
    writer.flush();
  }
  assert.equal(Buffer.concat(taken).toString(), lines.join(''));
  assert.equal(writer.lost, 0);
});

test('a reader that is gone costs the lines, not the relay; they are counted', () => {
  const writer = lineWriter(() => {
    throw gone;
  });
  writer.write('a\n');
  writer.write('b\n');
  writer.flush();
  assert.equal(writer.lost, 2);
});

test('what waits for a slow reader is bounded', async () => {
  let ready = false;
  const writer = lineWriter((bytes) => {
    if (!ready) throw busy;
    return bytes.length;
  });
  const line = `${'x'.repeat(4000)}\n`;
  for (let count = 0; count < 2000; count += 1) writer.write(line);
  assert.ok(writer.lost > 0 && writer.lost < 2000);
  ready = true;
  writer.flush();
  await new Promise((resolve) => setImmediate(resolve));
});

test('three threads on one pipe: no line is torn, mixed or lost', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'log-writers.ts')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = (await text(child.stdout)).trimEnd().split('\n');
  const byThread = Map.groupBy(
    lines.map((line): { thread: number; line: number } => JSON.parse(line)),
    ({ thread }) => thread,
  );
  assert.deepEqual([...byThread.keys()].sort(), [0, 1, 2]);
  for (const written of byThread.values())
    assert.deepEqual(
      written.map(({ line }) => line),
      [...Array(3000).keys()],
    );
});
