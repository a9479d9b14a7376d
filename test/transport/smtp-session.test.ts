/** The last line of defence of a session: whatever led to it, credentials are not written into the clear. */
import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import { createTransport } from '../../src/transport/nodemailer-session.ts';
import type { ConnectPlan } from '../../src/transport/session.ts';
import { systemClock } from '../support/clock.ts';
import { labMaterials } from '../support/delivery-lab.ts';
import { startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

test('a session in the clear refuses to show credentials', async (t) => {
  const receiver = await startReceiver('plain-smtp');
  const transport = createTransport(systemClock);
  t.after(async () => {
    transport.close();
    await receiver.stop();
  });
  const plan: ConnectPlan = {
    ...labMaterials(),
    host: receiver.hostname as Domain,
    address: receiver.address,
    port: receiver.port,
    sourceAddress: null,
    helo: 'relay.test' as Domain,
    rung: 'plaintext',
    minVersion: 'TLSv1.2',
    tlsRequired: false,
    implicitTls: false,
    serverName: null,
    timeouts: { connect: 2000, greeting: 2000, tls: 2000, command: 2000, data: 2000 },
  };
  const opened = await transport.open(plan);
  assert.ok(opened.ok);
  const refused = await opened.value.authenticate({ user: 'ann', password: 'secret' });
  assert.deepEqual(refused, { kind: 'local', detail: 'refused to send credentials without TLS' });
  await opened.value.quit();
  await receiver.waitForEvent('quit');
  assert.doesNotMatch(receiver.clearText(), /AUTH/i);
});
