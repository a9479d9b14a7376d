/**
 * A real Postfix (Debian's package) with a configuration and queue of its own in a temporary folder; no daemon of the machine's is touched.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAuthority } from './certificates.ts';
import { freePort } from './temp-relay.ts';

/** A running Postfix. */
export type Postfix = {
  readonly port: number;
  /** Its log so far. */
  log(): string;
  [Symbol.asyncDispose](): Promise<void>;
};

/** How it is set up: everything it takes goes on to `relayTo`; `settings` are further lines of main.cf. */
export type PostfixOptions = {
  readonly relayTo: { readonly address: string; readonly port: number };
  readonly settings?: readonly string[];
};

const SERVICES = [
  'pickup unix n - n 60 1 pickup',
  'cleanup unix n - n - 0 cleanup',
  'qmgr unix n - n 300 1 qmgr',
  'tlsmgr unix - - n 1000? 1 tlsmgr',
  'rewrite unix - - n - - trivial-rewrite',
  'bounce unix - - n - 0 bounce',
  'defer unix - - n - 0 bounce',
  'trace unix - - n - 0 bounce',
  'verify unix - - n - 1 verify',
  'flush unix n - n 1000? 0 flush',
  'proxymap unix - - n - - proxymap',
  'proxywrite unix - - n - 1 proxymap',
  'tlsproxy unix - - n - 0 tlsproxy',
  'discard unix - - n - - discard',
  'smtp unix - - n - - smtp',
  'relay unix - - n - - smtp',
  'showq unix n - n - - showq',
  'error unix - - n - - error',
  'retry unix - - n - - error',
  'anvil unix - - n - 1 anvil',
  'scache unix - - n - 1 scache',
  'postlog unix-dgram n - n - 1 postlogd',
];

/** Starts it and resolves when it answers. */
export async function startPostfix({ relayTo, settings = [] }: PostfixOptions): Promise<Postfix> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-postfix-'));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const logFile = join('/var/log', `${folder.split('/').at(-1)}.log`);
  for (const sub of ['queue', 'data']) mkdirSync(join(folder, sub));
  const uid = Number(execFileSync('id', ['-u', 'postfix']).toString());
  const gid = Number(execFileSync('id', ['-g', 'postfix']).toString());
  chownSync(join(folder, 'data'), uid, gid);
  const { cert, key } = createAuthority('Postfix CA').issue({ names: ['postfix.test'] });
  writeFileSync(join(folder, 'cert.pem'), cert);
  writeFileSync(join(folder, 'key.pem'), key);
  writeFileSync(join(folder, 'main.cf'), [...mainCf({ folder, logFile, relayTo }), ...settings, ''].join('\n'));
  writeFileSync(join(folder, 'master.cf'), [`127.0.0.1:${port} inet n - n - - smtpd`, ...SERVICES, ''].join('\n'));
  execFileSync('postfix', ['-c', folder, 'start'], { stdio: 'ignore' });
  await answers(port);
  return {
    port,
    log: () => readFileSync(logFile, 'utf8'),
    [Symbol.asyncDispose]: async () => {
      execFileSync('postfix', ['-c', folder, 'stop'], { stdio: 'ignore' });
      rmSync(folder, { recursive: true, force: true });
      rmSync(logFile, { force: true });
    },
  };
}

const mainCf = ({
  folder,
  logFile,
  relayTo,
}: {
  readonly folder: string;
  readonly logFile: string;
  readonly relayTo: PostfixOptions['relayTo'];
}): readonly string[] => [
  'compatibility_level = 3.6',
  `queue_directory = ${folder}/queue`,
  `data_directory = ${folder}/data`,
  'command_directory = /usr/sbin',
  'daemon_directory = /usr/lib/postfix/sbin',
  'mail_owner = postfix',
  'setgid_group = postdrop',
  'myhostname = postfix.test',
  'mydestination =',
  'mynetworks = 127.0.0.0/8',
  'inet_interfaces = 127.0.0.1',
  'inet_protocols = ipv4',
  `relayhost = [${relayTo.address}]:${relayTo.port}`,
  `smtpd_tls_cert_file = ${folder}/cert.pem`,
  `smtpd_tls_key_file = ${folder}/key.pem`,
  'smtpd_tls_security_level = may',
  'smtpd_tls_received_header = yes',
  'smtpd_tls_loglevel = 1',
  'smtp_tls_security_level = may',
  'smtp_tls_loglevel = 1',
  'smtpd_recipient_restrictions = permit_mynetworks, reject',
  `maillog_file = ${logFile}`,
];

async function answers(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('data', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    await sleep(100);
  }
  throw new Error('Postfix does not answer');
}
