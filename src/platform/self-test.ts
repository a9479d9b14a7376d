/**
 * Gathers what the relay must know about its machine before it starts; self-test-policy.ts judges it. Looks, and changes nothing.
 */
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Resolver } from '../dns/resolver.ts';
import { isAddressLiteral } from '../domain/address.ts';
import { type Clock, err, type Milliseconds, ok, type Result } from '../domain/basics.ts';
import type { Config } from '../domain/config.ts';
import type { DnsProblem } from '../domain/dns.ts';
import type { CertificateLoad } from './certificates.ts';
import { judgeSelfTest, type PortFact, type SelfTestFacts, type SelfTestLine } from './self-test-policy.ts';

/** What the self-test works with. */
export type SelfTestInput = {
  readonly config: Config;
  readonly certificates: CertificateLoad;
  readonly resolver: Pick<Resolver, 'mx'>;
  readonly clock: Clock;
  /** How long a silent resolver may hold up the start. */
  readonly patience: Milliseconds;
};

/** The lines to print at start. Run it before the listeners open: it opens and closes their ports. Never rejects. */
export async function selfTest(input: SelfTestInput): Promise<readonly SelfTestLine[]> {
  const { config, certificates, clock } = input;
  const [ports, problem] = await Promise.all([Promise.all(placesOf(config).map(tryPort)), askResolver(input)]);
  return judgeSelfTest({
    now: clock.now(),
    spool: lookAtSpool(config),
    certificates,
    ports,
    resolver: { servers: config.resolver.servers, problem },
    descriptors: { limit: descriptorLimit(), connections: config.limits.connections },
  });
}

function lookAtSpool({ queue, limits }: Config): SelfTestFacts['spool'] {
  let folder = dirname(queue.path);
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { type, bavail, bsize } = statfsSync(folder);
  const facts = {
    folder,
    fileSystemType: type,
    freeBytes: bavail * bsize,
    neededBytes: limits.diskFreeBytes,
    ephemeral: queue.ephemeral,
  };
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return { ...facts, writable: true };
  } catch {
    return { ...facts, writable: false };
  }
}

type Place = Omit<PortFact, 'opened'>;

const placesOf = ({ listeners, admin }: Config): readonly Place[] => [
  ...listeners.map(({ name, host, port }) => ({ name: `listener ${name}`, host, port })),
  { name: 'admin', host: admin.host, port: admin.port },
];

/** Without SO_REUSEPORT, so that a second relay on the same port shows here instead of sharing it silently. */
async function tryPort(place: Place): Promise<PortFact> {
  const server = createServer();
  const opened = await new Promise<Result<void, string>>((resolve) => {
    server.once('error', (error) => resolve(err('code' in error ? String(error.code) : error.message)));
    server.listen({ host: place.host, port: place.port, exclusive: true }, () => resolve(ok(undefined)));
  });
  if (opened.ok) await new Promise<void>((resolve) => server.close(() => resolve()));
  return { ...place, opened };
}

/** Null where a server answered anything at all: NXDOMAIN is an answer. */
async function askResolver({ config, resolver, patience }: SelfTestInput): Promise<DnsProblem | null> {
  const name = isAddressLiteral(config.hostname) ? 'example.org' : config.hostname;
  const controller = new AbortController();
  const late = Promise.withResolvers<'timeout'>();
  const timer = setTimeout(() => late.resolve('timeout'), patience);
  const answer = await Promise.race([resolver.mx(name, controller.signal), late.promise]);
  clearTimeout(timer);
  controller.abort();
  if (answer === 'timeout') return 'timeout';
  return answer.kind === 'unknown' && answer.problem !== 'servfail' && answer.problem !== 'cname-loop' ? answer.problem : null;
}

/** RLIMIT_NOFILE as the kernel tells it; null where there is no /proc. */
function descriptorLimit(): number | null {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return limit === undefined ? null : Number(limit);
  } catch {
    return null;
  }
}
