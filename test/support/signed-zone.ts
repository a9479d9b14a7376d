/**
 * A small Internet of DNSSEC-signed zones on loopback: a root of the test's own, signed by ldns, served by NSD, validated by Unbound
 * (Debian's packages) with that root's key as its trust anchor. What Unbound says is what a relay beside it would hear.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createStubResolver } from '../../src/dns/stub-resolver.ts';
import { freePort } from './temp-relay.ts';

/** A zone below the root. */
export type ChildZone = {
  /** `insecure.test`. */
  readonly name: string;
  /** signed: as it should be. unsigned: without DS. bogus: signed, but by another key than its DS says. failing: its server says SERVFAIL. */
  readonly kind: 'signed' | 'unsigned' | 'bogus' | 'failing';
  /** Lines of a zone file, names absolute. */
  readonly records: readonly string[];
};

/** What is to be served. `root`: records of the signed root itself, names absolute (`mx.a.test. A 127.0.0.2`). */
export type SignedInternet = { readonly root: readonly string[]; readonly children?: readonly ChildZone[] };

/** The validating resolver in front of it all. */
export type SignedZone = AsyncDisposable & {
  readonly address: string;
  readonly port: number;
  /** The server behind it, which validates nothing and sets no AD. */
  readonly authoritative: { readonly address: string; readonly port: number };
};

const ADDRESS = '127.0.0.1';
const SOA = 'SOA ns.test. hostmaster.test. 1 3600 600 86400 60';
const READY = 'ready.test';

/** Serves the zones until disposed of. Needs the packages unbound, nsd and ldnsutils. */
export async function startSignedZone(internet: SignedInternet): Promise<SignedZone> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-dnssec-'));
  const children = (internet.children ?? []).map((child, at) => ({ ...child, ...makeChild(folder, child, at) }));
  const delegations = children.flatMap(({ name, ds }) => [`${name}. NS ns.test.`, ...ds]);
  const base = [`ns.test. A ${ADDRESS}`, `${READY}. A ${ADDRESS}`];
  const root = makeZone(join(folder, 'root'), '.', [...internet.root, ...base, ...delegations]);
  const [nsdPort, unboundPort] = [await freePort(), await freePort()];
  const served = [{ name: '.', file: root.file }, ...children];
  const running: ChildProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map(end));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    running.push(start('nsd', nsdConf(folder, { port: nsdPort, zones: served }), folder));
    await answers(nsdPort, false, running);
    running.push(
      start(
        'unbound',
        unboundConf(folder, { port: unboundPort, nsdPort, names: served.map(({ name }) => name), anchor: root.anchor }),
        folder,
      ),
    );
    await answers(unboundPort, true, running);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    address: ADDRESS,
    port: unboundPort,
    authoritative: { address: ADDRESS, port: nsdPort },
    [Symbol.asyncDispose]: stop,
  };
}

type MadeZone = { readonly file: string; readonly anchor: string };

/** Writes the zone and signs it with a key of its own; `anchor` is its DS record. */
function makeZone(folder: string, name: string, records: readonly string[]): MadeZone {
  mkdirSync(folder);
  const run = (tool: string, ...args: string[]): string => execFileSync(tool, args, { cwd: folder, encoding: 'utf8' }).trim();
  const key = run('ldns-keygen', '-r', '/dev/urandom', '-a', 'ECDSAP256SHA256', '-k', name);
  const dotted = name === '.' ? '.' : `${name}.`;
  writeFileSync(join(folder, 'zone'), `$TTL 60\n${dotted} ${SOA}\n${dotted} NS ns.test.\n${records.join('\n')}\n`);
  run('ldns-signzone', '-o', dotted, 'zone', key);
  return { file: join(folder, 'zone.signed'), anchor: run('ldns-key2ds', '-n', '-2', `${key}.key`) };
}

function makeChild(
  folder: string,
  { name, kind, records }: ChildZone,
  at: number,
): { readonly file: string; readonly ds: readonly string[] } {
  const zone = makeZone(join(folder, `zone${at}`), name, records);
  switch (kind) {
    case 'signed':
      return { file: zone.file, ds: [zone.anchor] };
    case 'failing':
      // NSD answers SERVFAIL for a zone whose file it could not read.
      return { file: join(folder, `zone${at}`, 'missing'), ds: [zone.anchor] };
    case 'unsigned':
      return { file: join(folder, `zone${at}`, 'zone'), ds: [] };
    case 'bogus':
      return { file: zone.file, ds: [makeZone(join(folder, `other${at}`), name, []).anchor] };
  }
}

function nsdConf(
  folder: string,
  { port, zones }: { port: number; zones: readonly { readonly name: string; readonly file: string }[] },
): string {
  const file = join(folder, 'nsd.conf');
  const path = (name: string): string => `"${join(folder, name)}"`;
  const server = [
    `ip-address: ${ADDRESS}@${port}`,
    ...['username: ""', 'chroot: ""', 'database: ""', 'server-count: 1', 'rrl-ratelimit: 0'],
    `zonesdir: "${folder}"`,
    `pidfile: ${path('nsd.pid')}`,
    `xfrdfile: ${path('xfrd.state')}`,
    `zonelistfile: ${path('zone.list')}`,
    `xfrdir: "${folder}"`,
  ];
  const parts = zones.map(({ name, file: zone }) => `zone:\n  name: "${name}"\n  zonefile: "${zone}"\n`);
  writeFileSync(file, `server:\n  ${server.join('\n  ')}\nremote-control:\n  control-enable: no\n${parts.join('')}`);
  return file;
}

type UnboundOptions = { port: number; nsdPort: number; names: readonly string[]; anchor: string };

function unboundConf(folder: string, { port, nsdPort, names, anchor }: UnboundOptions): string {
  const file = join(folder, 'unbound.conf');
  const server = [
    `interface: ${ADDRESS}@${port}`,
    ...['username: ""', 'chroot: ""', 'use-syslog: no', 'do-ip6: no', 'do-not-query-localhost: no', 'num-threads: 1'],
    ...['module-config: "validator iterator"', 'trust-anchor-signaling: no', 'root-key-sentinel: no'],
    `directory: "${folder}"`,
    `pidfile: "${join(folder, 'unbound.pid')}"`,
    `trust-anchor: "${anchor}"`,
    // Names it would otherwise answer itself (RFC 6303, RFC 6761).
    'local-zone: "test." nodefault',
  ];
  const zones = names.map((name) => `stub-zone:\n  name: "${name}"\n  stub-addr: ${ADDRESS}@${nsdPort}\n`);
  writeFileSync(file, `server:\n  ${server.join('\n  ')}\nremote-control:\n  control-enable: no\n${zones.join('')}`);
  return file;
}

function start(daemon: 'nsd' | 'unbound', conf: string, folder: string): ChildProcess {
  const server = spawn(`/usr/sbin/${daemon}`, ['-d', '-c', conf], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const log: Buffer[] = [];
  server.stdout.on('data', (chunk: Buffer) => log.push(chunk));
  server.stderr.on('data', (chunk: Buffer) => log.push(chunk));
  // A test that dies takes its servers with it.
  const kill = (): void => void server.kill('SIGTERM');
  process.once('exit', kill);
  server.on('exit', (code) => {
    process.off('exit', kill);
    if (code !== 0 && code !== null)
      process.stderr.write(`${daemon} ended: ${Buffer.concat(log).toString('utf8').slice(-2000)}\n`);
  });
  return server;
}

async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const over = new Promise<void>((resolve) => server.once('close', () => resolve()));
  server.kill('SIGTERM');
  await over;
}

/** Waits until the server has the zone; a validating one must say that it is secure. */
async function answers(port: number, secure: boolean, running: readonly ChildProcess[]): Promise<void> {
  const clock = { now: () => 0 as never, monotonic: () => performance.now() };
  for (let tries = 0; tries < 100; tries++) {
    if (running.some(({ exitCode }) => exitCode !== null)) throw new Error('a name server ended');
    const resolver = createStubResolver({
      servers: [{ address: ADDRESS, port }],
      dnssec: 'trust',
      clock,
      randomInt,
      limits: { tryTimeout: 500, rounds: 1 },
    });
    const answer = await resolver.a(READY, new AbortController().signal);
    resolver.close();
    if (answer.kind === 'records' && answer.secure === secure) return;
    await sleep(50);
  }
  throw new Error(`the name server on port ${port} does not answer`);
}
