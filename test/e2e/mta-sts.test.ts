/**
 * MTA-STS through the real relay: policies found by DNS, fetched over HTTPS from a scripted policy host, and what becomes of a
 * message then. A policy host is found at port 443 only, so this needs the right to listen there.
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Domain } from '../../src/domain/address.ts';
import type { Instant } from '../../src/domain/basics.ts';
import type { StoredPolicy } from '../../src/domain/mta-sts.ts';
import { connectSpool } from '../../src/spool/sqlite-spool.ts';
import { startSpoolThread } from '../../src/spool/sqlite-spool-thread.ts';
import { systemClock } from '../support/clock.ts';
import { startDnsServer, type TestDnsServer } from '../support/dns-server.ts';
import type { Zone } from '../support/dns-zone.ts';
import type { BehaviourName } from '../support/lab/behaviour-table.ts';
import { labAuthority, type Receiver, startReceiver } from '../support/lab/receiver.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type PolicyHost, type PolicySite, startPolicyHost } from '../support/policy-host.ts';
import { SECRET, submit } from '../support/submit.ts';
import { freePort, type LogLine, type TempRelay, tempRelay } from '../support/temp-relay.ts';

checkLeaks();

const DAY = 86_400_000;
/** Listening there needs a privilege; nothing else on the machine uses this address. */
const POLICY_ADDRESS = '127.1.9.254';

const GOOD = 'tls13.lab.test';
const STRIPPED = 'starttls-absent.lab.test';
const WRONG_NAME = 'wrong-name.lab.test';
const EXPIRED = 'expired-certificate.lab.test';
const STRANGER = 'self-signed.lab.test';
const RECEIVERS = [
  'tls13',
  'starttls-absent',
  'wrong-name',
  'expired-certificate',
  'self-signed',
] as const satisfies BehaviourName[];

/** A policy fetched some days ago, in mode enforce for a host the domain no longer has. */
type Cached = { readonly days: number; readonly id?: string };
type Row = {
  readonly mx: readonly string[];
  /** Null: the domain has no record. */
  readonly site: PolicySite | null;
  readonly cached?: Cached;
  /** Host and rung kind, or the enhanced code of the deferral. */
  readonly ends: { readonly at: string; readonly tls: boolean } | { readonly code: string; readonly text: RegExp };
  readonly problem?: RegExp;
};

const at = (host: string, tls = true): Row['ends'] => ({ at: host, tls });
const deferred = (code: string, text: RegExp): Row['ends'] => ({ code, text });
const opportunistic = (site: PolicySite, problem: RegExp): Row => ({
  mx: [STRIPPED],
  site: { mx: [GOOD], ...site },
  ends: at(STRIPPED, false),
  problem,
});

const ROWS: Readonly<Record<string, Row>> = {
  'enforced, and the host keeps it': {
    mx: [GOOD],
    site: { mx: [GOOD] },
    ends: at(GOOD),
  },
  'enforced by a wildcard': {
    mx: [GOOD],
    site: { mx: ['*.lab.test'] },
    ends: at(GOOD),
  },
  'enforced by a wildcard one level too high': {
    mx: [GOOD],
    site: { mx: ['*.test'] },
    ends: deferred('4.4.8', /not in the MTA-STS policy/),
  },
  'enforced, STARTTLS stripped': {
    mx: [STRIPPED],
    site: { mx: [STRIPPED] },
    ends: deferred('4.4.317', /does not offer STARTTLS, and the MTA-STS policy of .* demands TLS/),
  },
  'enforced, certificate for another name': {
    mx: [WRONG_NAME],
    site: { mx: [WRONG_NAME] },
    ends: deferred('4.7.5', /certificate/),
  },
  'enforced, certificate expired': {
    mx: [EXPIRED],
    site: { mx: [EXPIRED] },
    ends: deferred('4.7.5', /certificate/),
  },
  'enforced, certificate of nobody': {
    mx: [STRANGER],
    site: { mx: [STRANGER] },
    ends: deferred('4.7.5', /certificate/),
  },
  'enforced, host not in the policy': {
    mx: [GOOD],
    site: { mx: ['mx.other.test'] },
    ends: deferred('4.4.8', /tls13\.lab\.test is not in the MTA-STS policy/),
  },
  'enforced, the second host is in the policy': {
    mx: [STRIPPED, GOOD],
    site: { mx: [GOOD] },
    ends: at(GOOD),
  },
  'enforced, the second host keeps it': {
    mx: [WRONG_NAME, GOOD],
    site: { mx: [WRONG_NAME, GOOD] },
    ends: at(GOOD),
  },
  'testing, STARTTLS stripped': {
    mx: [STRIPPED],
    site: { mode: 'testing', mx: [GOOD] },
    ends: at(STRIPPED, false),
  },
  'testing, host not in the policy': {
    mx: [WRONG_NAME],
    site: { mode: 'testing', mx: [GOOD] },
    ends: at(WRONG_NAME),
  },
  'mode none': {
    mx: [STRIPPED],
    site: { mode: 'none' },
    ends: at(STRIPPED, false),
  },
  'no record': { mx: [STRIPPED], site: null, ends: at(STRIPPED, false) },
  'policy not found': opportunistic({ does: 'not-found' }, /status 404/),
  'policy elsewhere': opportunistic({ does: 'redirect' }, /status 302/),
  'policy host with a wrong certificate': opportunistic({ does: 'wrong-certificate' }, /for other names/),
  'policy host with an expired certificate': opportunistic({ does: 'expired-certificate' }, /has expired/),
  'policy too large': opportunistic({ does: 'oversized' }, /larger than 64 KiB/),
  'policy of a wrong type': opportunistic({ does: 'wrong-type' }, /text\/html/),
  'policy invalid': opportunistic({ text: 'version: STSv1\nmode: enforce\nnmx: a.test\nmax_age: 1\n' }, /no usable "mx"/),
  'cached policy, the host gone': {
    mx: [GOOD],
    site: { does: 'not-found' },
    cached: { days: 2 },
    ends: deferred('4.4.8', /not in the MTA-STS policy/),
    problem: /status 404/,
  },
  'cached policy, the record gone': {
    mx: [GOOD],
    site: null,
    cached: { days: 2 },
    ends: deferred('4.4.8', /not in the MTA-STS policy/),
  },
  'cached policy, replaced under a new id': {
    mx: [GOOD],
    site: { mx: [GOOD] },
    cached: { days: 2, id: 'old' },
    ends: at(GOOD),
  },
  'cached policy, withdrawn by mode none': {
    mx: [STRIPPED],
    site: { mode: 'none' },
    cached: { days: 2, id: 'old' },
    ends: at(STRIPPED, false),
  },
  'cached policy, ended': {
    mx: [STRIPPED],
    site: { does: 'not-found' },
    cached: { days: 8 },
    ends: at(STRIPPED, false),
    problem: /status 404/,
  },
};
const NAMES = Object.keys(ROWS);
const domainOf = (name: string): Domain => `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.sts.test` as Domain;
/** Smarthosts: their policy counts, not the recipient's. */
const VIA = { kept: 'kept.via.test', broken: 'broken.via.test' } as const;

function zone(): Zone {
  const names: Zone = {};
  for (const [number, name] of RECEIVERS.entries()) names[`${name}.lab.test`] = { a: [`127.1.9.${number + 1}`] };
  const publish = (domain: string): void => {
    names[`_mta-sts.${domain}`] = { txt: [['v=STSv1; id=new;']] };
    names[`mta-sts.${domain}`] = { a: [POLICY_ADDRESS] };
  };
  for (const [name, { mx, site }] of Object.entries(ROWS)) {
    names[domainOf(name)] = {
      mx: mx.map((host, place) => [place, host] as const),
    };
    if (site !== null) publish(domainOf(name));
  }
  publish(VIA.kept);
  publish(STRIPPED);
  return names;
}

const sites = (): Record<string, PolicySite> => ({
  ...Object.fromEntries(Object.entries(ROWS).flatMap(([name, { site }]) => (site === null ? [] : [[domainOf(name), site]]))),
  // The recipient's own policy would forbid the smarthost; the smarthost's own forbids plaintext.
  [VIA.kept]: { mx: ['mx.nowhere.test'] },
  [STRIPPED]: { mx: [STRIPPED] },
});

/** Puts policies into the queue file as an earlier run would have left them. */
async function seed(relay: TempRelay): Promise<void> {
  const started = await startSpoolThread({
    path: join(relay.folder, 'data', 'queue.db'),
    diskFreeBytes: 0,
  });
  assert.ok(started.ok);
  const spool = connectSpool(started.value.connect(), {
    bodies: started.value.bodies,
    clock: systemClock,
  });
  for (const [name, { cached }] of Object.entries(ROWS)) {
    if (cached === undefined) continue;
    const then = (Date.now() - cached.days * DAY) as Instant;
    const mx: StoredPolicy['mx'] = [{ kind: 'exact', domain: 'mx.former.test' as Domain }];
    const facts = {
      domain: domainOf(name),
      id: cached.id ?? 'new',
      mode: 'enforce',
      mx,
      maxAgeSeconds: (7 * DAY) / 1000,
    } as const;
    await spool.keepPolicy({ ...facts, fetchedAt: then, usedAt: then });
  }
  await spool.close();
  await started.value.close();
}

/** Why this cannot be tested here, false where it can. */
async function obstacle(): Promise<string | false> {
  try {
    await using _host = await startPolicyHost({}, { address: POLICY_ADDRESS, port: 443 });
    return false;
  } catch {
    // In CI a missing right is a failure: the tests below will say so.
    return process.env['CI'] === undefined ? 'no right to listen on port 443' : false;
  }
}

describe('MTA-STS', { skip: await obstacle() }, () => {
  let host: PolicyHost;
  let dns: TestDnsServer;
  let relay: TempRelay;
  let receivers: readonly Receiver[] = [];

  before(async () => {
    const port = await freePort();
    receivers = await Promise.all(
      RECEIVERS.map((name, number) => startReceiver(name, { address: `127.1.9.${number + 1}`, port })),
    );
    host = await startPolicyHost(sites(), {
      address: POLICY_ADDRESS,
      port: 443,
    });
    dns = await startDnsServer(zone());
    relay = await tempRelay({
      yaml: `acceptedDomains: ["*.sts.test", "*.via.test"]
workers: 1
delivery: { port: ${port}, allowPrivateAddresses: true }
resolver: { servers: ["${dns.address}:${dns.port}"], dnssec: off }
tls: { trust: [lab.pem, policy.pem], mtaSts: auto }
outbound:
  - name: kept
    match: { recipientDomains: [${VIA.kept}] }
    route: { kind: smarthost, hosts: ["${GOOD}:${port}"] }
  - name: broken
    match: { recipientDomains: [${VIA.broken}] }
    route: { kind: smarthost, hosts: ["${STRIPPED}:${port}"] }`,
    });
    writeFileSync(join(relay.folder, 'lab.pem'), labAuthority().caPem);
    writeFileSync(join(relay.folder, 'policy.pem'), host.caPem);
    await seed(relay);
    await relay.start();
    const recipients = [...NAMES.map(domainOf), ...Object.values(VIA)];
    await submit(relay, ...recipients.map((domain) => ({ to: `user@${domain}` })));
  });
  after(async () => {
    const code = await relay.kill('SIGTERM');
    const output = relay.output();
    await relay[Symbol.asyncDispose]();
    await Promise.all([host[Symbol.asyncDispose](), dns[Symbol.asyncDispose](), ...receivers.map((receiver) => receiver.stop())]);
    assert.equal(code, 0, output);
  });

  /** What became of a message first, looked for in the log from `since` on. */
  const outcome = async (to: string, since = 0): Promise<LogLine> => {
    const found = (): LogLine | undefined =>
      relay.log.slice(since).find((line) => line.event.startsWith('delivery.') && line['to'] === to);
    for (let wait = 0; found() === undefined && wait < 300; wait += 1) await new Promise((go) => setTimeout(go, 100));
    return found() ?? assert.fail(`nothing became of the message to ${to}:\n${relay.output()}`);
  };
  const check = async (domain: string, ends: Row['ends']): Promise<LogLine> => {
    const line = await outcome(`user@${domain}`);
    if ('code' in ends) {
      assert.equal(line.event, 'delivery.deferred', JSON.stringify(line));
      assert.equal(line['status'], ends.code, JSON.stringify(line));
      assert.match(String(line['text']), ends.text);
    } else {
      assert.equal(line.event, 'delivery.delivered', JSON.stringify(line));
      assert.deepEqual([line['mx'], line['tls'] !== null], [ends.at, ends.tls], JSON.stringify(line));
    }
    return line;
  };
  const sourceOf = (line: LogLine): string => String((line['policy'] as { source?: unknown } | null)?.source);

  for (const name of NAMES) {
    const row = ROWS[name] ?? assert.fail();
    test(`${name}: ${'code' in row.ends ? `deferred with ${row.ends.code}` : `delivered ${row.ends.tls ? 'over TLS' : 'in the clear'}`}`, async () => {
      const line = await check(domainOf(name), row.ends);
      if (row.problem !== undefined) {
        const told = relay.log.find(({ event, domain }) => event === 'mta-sts.problem' && domain === domainOf(name));
        assert.match(String(told?.['text']), row.problem);
        assert.equal(told?.['cached'], 'code' in row.ends);
      }
      const enforced =
        'at' in row.ends && row.site !== null && (row.site.mode ?? 'enforce') === 'enforce' && row.problem === undefined;
      if ('at' in row.ends) assert.equal(sourceOf(line).includes('mta-sts'), enforced, sourceOf(line));
    });
  }

  test('a smarthost: the recipient’s policy does not count', async () => void (await check(VIA.kept, at(GOOD))));
  test('a smarthost: its own policy does', async () => {
    await check(VIA.broken, deferred('4.4.317', /policy of starttls-absent\.lab\.test demands TLS/));
  });

  test('after a restart without policy host and records: what was enforced still is', async () => {
    const all = [...NAMES.map(domainOf), ...Object.values(VIA)];
    await Promise.all(all.map((domain) => outcome(`user@${domain}`)));
    assert.equal(await relay.kill('SIGTERM'), 0, relay.output());
    for (const domain of all) dns.zone[`_mta-sts.${domain}`] = { does: 'servfail' };
    const fetches = host.connections();
    const since = relay.log.length;
    await relay.start();
    // Not those whose host could not be reached: their whole destination waits.
    const domains = ['enforced, certificate for another name', 'enforced, certificate expired'].map(domainOf);
    await submit(relay, ...domains.map((domain) => ({ to: `again@${domain}` })));
    for (const domain of domains) assert.equal((await outcome(`again@${domain}`, since)).event, 'delivery.deferred');
    assert.equal(host.connections(), fetches);
  });

  test('nothing of a message that had to wait was seen in the clear', () => {
    const clear = receivers.map((receiver) => receiver.clearText()).join('');
    const inTheClear = NAMES.filter((name) => {
      const { ends } = ROWS[name] ?? assert.fail();
      return 'at' in ends && !ends.tls;
    });
    assert.equal(clear.split(SECRET).length - 1, inTheClear.length);
    for (const name of NAMES.filter((name) => !inTheClear.includes(name))) assert.ok(!clear.includes(domainOf(name)), name);
  });
});
