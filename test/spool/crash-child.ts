/**
 * A process to be killed: accepts, settles and defers as fast as it can and says what it was promised, a line each, only after
 * the promise. `A name`: accepted. `D name`: settled as delivered. `F path`: a body file was finished and not yet accepted.
 */
import type { Instant } from '../../src/domain/basics.ts';
import { connectSpool } from '../../src/spool/sqlite-spool.ts';
import { startSpoolThread } from '../../src/spool/sqlite-spool-thread.ts';
import { systemClock } from '../support/clock.ts';
import { failure, message, settlement } from './messages.ts';

const [path = '', round = '0', mode = 'load'] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const thread = await startSpoolThread({ path, diskFreeBytes: 0 });
if (!thread.ok) {
  say(`R ${thread.error.detail}`);
  process.exit(3);
}
const spool = connectSpool(thread.value.connect(), { bodies: thread.value.bodies, clock: systemClock });
say('S');

async function largeBody() {
  const writer = await spool.createBody();
  if (!writer.ok) throw new Error(writer.error.detail);
  await writer.value.write(Buffer.alloc(300_000, 'x'));
  if (mode === 'in-body') return null;
  const body = await writer.value.finish();
  if (!body.ok || body.value.kind !== 'file') throw new Error('no body');
  say(`F ${body.value.path}`);
  return body.value;
}

/** Waits for the SIGKILL. */
const linger = (): Promise<never> => new Promise(() => setInterval(() => undefined, 1000));

if (mode !== 'load') {
  const body = await largeBody();
  if (body === null || mode === 'before-accept') {
    say('K');
    await linger();
  } else {
    await spool.accept(message(`large-${round}`, { body }), { leaseFor: 600_000 });
    say(`A large-${round}`);
    say('K');
    await linger();
  }
}

let next = 0;
async function work(): Promise<void> {
  for (;;) {
    const number = next++;
    const name = `${round}-${number}`;
    const stored = await spool.accept(message(name, { to: [`u@d${number % 5}.test`], body: 'x'.repeat(number % 9000) }), {
      leaseFor: 600_000,
    });
    if (!stored.ok) throw new Error(stored.error.detail);
    say(`A ${name}`);
    const claim = stored.value[0];
    if (claim === undefined || number % 3 === 0) continue;
    const due = (Date.now() + 3_600_000) as Instant;
    const fate =
      number % 3 === 1 ? 'delivered' : ({ becomes: 'queued', due, attention: due, failure, delayNoticeSent: false } as const);
    const settled = await spool.settle(settlement(claim, fate));
    if (!settled.ok) throw new Error(settled.error.detail);
    if (fate === 'delivered') say(`D ${name}`);
  }
}
await Promise.all(Array.from({ length: 16 }, work));
