/**
 * What the relay says about itself at start, in plain lines: judged from facts gathered by self-test.ts. An error means: do not start.
 */
import type { Instant, Result } from '../domain/basics.ts';
import type { DnsProblem } from '../domain/dns.ts';
import type { CertificateFacts, CertificateProblem } from './certificate-policy.ts';

/** One line of the self-test. */
export type SelfTestLine = {
  readonly verdict: 'ok' | 'warning' | 'error';
  readonly topic: 'spool' | 'clock' | 'certificate' | 'port' | 'resolver' | 'dnssec' | 'descriptors';
  readonly text: string;
};

/** Why a port could not be opened, as the system says it (`EACCES`). */
export type PortFact = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly opened: Result<void, string>;
};

/** What was found on this machine. */
export type SelfTestFacts = {
  readonly now: Instant;
  readonly spool: {
    /** The folder, or the nearest one above it that exists. */
    readonly folder: string;
    /** Magic number of statfs(2). */
    readonly fileSystemType: number;
    readonly writable: boolean;
    readonly freeBytes: number;
    readonly neededBytes: number;
    /** The operator accepts that it does not survive (`queue.ephemeral`). */
    readonly ephemeral: boolean;
  };
  readonly certificates: {
    readonly facts: readonly CertificateFacts[];
    readonly problems: readonly CertificateProblem[];
    readonly selfSigned: 'made' | 'kept' | null;
  };
  readonly ports: readonly PortFact[];
  /** What came of asking; null: an answer, whichever. */
  readonly resolver: { readonly servers: readonly string[]; readonly problem: DnsProblem | null };
  readonly descriptors: {
    /** Null: no limit known. */
    readonly limit: number | null;
    readonly connections: number;
  };
};

/** Everything there is to say, errors first. */
export function judgeSelfTest(facts: SelfTestFacts): readonly SelfTestLine[] {
  const lines = [
    judgeSpool(facts.spool),
    judgeClock(facts.now),
    ...judgeCertificates(facts.certificates),
    ...facts.ports.map(judgePort),
    judgeResolver(facts.resolver),
    ...judgeDescriptors(facts.descriptors),
  ];
  const rank = { error: 0, warning: 1, ok: 2 };
  return lines.toSorted((a, b) => rank[a.verdict] - rank[b.verdict]);
}

/** True where the relay must not start. */
export const forbidsStart = (lines: readonly SelfTestLine[]): boolean => lines.some((line) => line.verdict === 'error');

/** statfs(2) magic numbers of file systems that live as long as their container or machine is up. */
const EPHEMERAL: ReadonlyMap<number, string> = new Map([
  [0x794c7630, 'overlay'],
  [0x61756673, 'aufs'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
]);
/** Those whose locks and memory maps SQLite's write-ahead log cannot rely on (https://sqlite.org/wal.html). */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
]);

function judgeSpool(spool: SelfTestFacts['spool']): SelfTestLine {
  const say = (verdict: SelfTestLine['verdict'], text: string): SelfTestLine => ({ verdict, topic: 'spool', text });
  const { folder } = spool;
  if (!spool.writable)
    return say(
      'error',
      `The spool folder ${folder} cannot be written by the user the relay runs as: change its owner, or queue.store.`,
    );
  const ephemeral = EPHEMERAL.get(spool.fileSystemType);
  if (ephemeral !== undefined && !spool.ephemeral) {
    const cure = 'Mount a volume there, or say queue.ephemeral: true if losing queued mail is acceptable (a trial, a test).';
    return say(
      'error',
      `The spool folder ${folder} is on ${ephemeral}, which does not survive the container or machine. ${cure}`,
    );
  }
  if (spool.freeBytes < spool.neededBytes) {
    const text = `The spool has ${megabytes(spool.freeBytes)} MiB left, limits.diskFree wants ${megabytes(spool.neededBytes)} MiB: mail is refused with 452 until there is room.`;
    return say('warning', text);
  }
  const network = NETWORK.get(spool.fileSystemType);
  if (network !== undefined)
    return say('warning', `The spool folder ${folder} is on ${network}: SQLite needs a local file system to keep its promises.`);
  if (ephemeral !== undefined)
    return say(
      'warning',
      `The spool is on ${ephemeral}, as queue.ephemeral allows: queued mail is lost with the container or machine.`,
    );
  return say(
    'ok',
    `The spool folder ${folder} is on a file system that survives a restart, with ${megabytes(spool.freeBytes)} MiB free.`,
  );
}

const megabytes = (bytes: number): number => Math.floor(bytes / 1024 / 1024);

/** Nothing of this software is older. Move it forward with a release. */
const SOFTWARE_DATE = Date.UTC(2026, 10, 1);
const TWENTY_YEARS = 20 * 365.25 * 86_400_000;

function judgeClock(now: Instant): SelfTestLine {
  const shown = new Date(now).toISOString();
  if (now < SOFTWARE_DATE || now > SOFTWARE_DATE + TWENTY_YEARS) {
    const why = now < SOFTWARE_DATE ? 'which is before this software was made' : 'which is far in the future';
    return {
      verdict: 'warning',
      topic: 'clock',
      text: `The clock says ${shown}, ${why}: certificates, retries and expiry will be wrong. Set the time (NTP).`,
    };
  }
  return { verdict: 'ok', topic: 'clock', text: `The clock says ${shown}.` };
}

function judgeCertificates({ facts, problems, selfSigned }: SelfTestFacts['certificates']): readonly SelfTestLine[] {
  const told = problems.map(
    ({ severity, file, wrong, right }): SelfTestLine => ({
      verdict: severity,
      topic: 'certificate',
      text: `${file}: ${wrong}. Right would be: ${right}.`,
    }),
  );
  if (selfSigned !== null) {
    const verb = selfSigned === 'made' ? 'was made now' : 'is in use';
    const text = `No certificate is configured: a self-signed one ${verb} (${facts[0]?.file ?? ''}). Mail arrives encrypted; senders that verify will refuse it.`;
    return [...told, { verdict: 'warning', topic: 'certificate', text }];
  }
  const fine = facts.map((one): SelfTestLine => {
    const text = `Certificate ${one.file} (${one.keyType}) and its key belong together; it names ${one.names.join(', ')} and ends on ${new Date(one.notAfter).toISOString().slice(0, 10)}.`;
    return { verdict: 'ok', topic: 'certificate', text };
  });
  return [...told, ...fine];
}

/** errno of bind(2) and listen(2), in words, with the cure. */
const BIND_PROBLEMS: Readonly<Record<string, string>> = {
  EACCES:
    'the system reserves ports below 1024. Either `setcap cap_net_bind_service=+ep` on the node binary, or `sysctl net.ipv4.ip_unprivileged_port_start=25`, or ' +
    'AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or listen above 1024 and publish the port (docker run -p 25:2525)',
  EADDRINUSE: 'another program listens there already (`ss -ltnp` names it): stop it or choose another port',
  EADDRNOTAVAIL: 'this machine does not have that address: use one of its own, or 0.0.0.0',
  EAFNOSUPPORT: 'IPv6 is switched off on this machine: use an IPv4 address',
};

function judgePort({ name, host, port, opened }: PortFact): SelfTestLine {
  const place = `${host.includes(':') ? `[${host}]` : host}:${port} (${name})`;
  if (opened.ok) return { verdict: 'ok', topic: 'port', text: `${place} can be opened.` };
  return { verdict: 'error', topic: 'port', text: `${place} cannot be opened: ${BIND_PROBLEMS[opened.error] ?? opened.error}.` };
}

function judgeResolver({ servers, problem }: SelfTestFacts['resolver']): SelfTestLine {
  const who = servers.length === 0 ? 'the servers of /etc/resolv.conf' : servers.join(', ');
  if (problem === null) return { verdict: 'ok', topic: 'resolver', text: `DNS answers (${who}).` };
  const text = `DNS does not answer (${who}: ${problem}). Mail is accepted and waits; nothing that needs an MX record is delivered until it does. See resolver.servers.`;
  return { verdict: 'warning', topic: 'resolver', text };
}

/** What a relay holds open besides its clients: connections to peers, the database, its own files. */
const OTHER_DESCRIPTORS = 512;

function judgeDescriptors({ limit, connections }: SelfTestFacts['descriptors']): readonly SelfTestLine[] {
  if (limit === null || limit >= connections + OTHER_DESCRIPTORS) return [];
  const text = `The system allows ${limit} open files, limits.connections (${connections}) wants ${connections + OTHER_DESCRIPTORS}: raise it (ulimit -n, LimitNOFILE), or lower limits.connections.`;
  return [{ verdict: 'warning', topic: 'descriptors', text }];
}
