/**
 * A relay as its users run it: `postern serve` as a child process with a configuration of its own in a temporary folder.
 * What it logs is kept as parsed lines.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const MAIN = resolve(import.meta.dirname, '../../src/main.ts');

/** A line of the relay's log. */
export type LogLine = { readonly event: string } & Readonly<Record<string, unknown>>;

/** A relay under test. */
export type TempRelay = {
  readonly folder: string;
  readonly configFile: string;
  readonly port: number;
  readonly adminPort: number;
  readonly log: readonly LogLine[];
  /** Everything it wrote, for failure messages. */
  output(): string;
  /** Of the running process. */
  pid(): number;
  /** Starts it and resolves when it accepts connections. */
  start(): Promise<void>;
  /** Sends a signal that does not end it. */
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal and resolves with the exit code (null where the signal ended it). */
  kill(signal: NodeJS.Signals): Promise<number | null>;
  /** Resolves with the first `count` log lines of an event; rejects after `patience` milliseconds. */
  waitForLog(event: string, count?: number, patience?: number): Promise<readonly LogLine[]>;
  /** Runs a client command with this relay's configuration. */
  run(...words: readonly string[]): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>;
  /** Ends it whatever state it is in and removes the folder. */
  [Symbol.asyncDispose](): Promise<void>;
};

/** A port nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** The parts of a configuration a test chooses; the rest has good defaults. */
export type RelayConfig = {
  /** YAML of further top-level keys (`outbound:`, `inbound:`, `delivery:` …). */
  readonly yaml: string;
  /** Sub-keys of the one listener, by default `tls: starttls`. */
  readonly listener?: string;
  /** Sub-keys of `queue`, beside store and ephemeral. */
  readonly queue?: string;
};

/** Prepares a relay; `start` starts it. */
export async function tempRelay({ yaml, listener = 'tls: starttls', queue = '' }: RelayConfig): Promise<TempRelay> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const [port, adminPort] = [await freePort(), await freePort()];
  const configFile = join(folder, 'config', 'postern.yaml');
  mkdirSync(join(folder, 'config'));
  const indent = (text: string): string =>
    text
      .split('\n')
      .map((line) => `    ${line}`)
      .join('\n');
  writeFileSync(
    configFile,
    `hostname: relay.test\nlisteners:\n  - name: test\n    address: "127.0.0.1:${port}"\n${indent(listener)}\nadmin: { address: "127.0.0.1:${adminPort}" }\nqueue:\n    store: "sqlite:data/queue.db"\n    ephemeral: true\n${indent(queue)}\n${yaml}\n`,
  );
  return new Relay(folder, configFile, { port, adminPort });
}

class Relay implements TempRelay {
  readonly folder: string;
  readonly configFile: string;
  readonly port: number;
  readonly adminPort: number;
  readonly log: LogLine[] = [];
  #child: ChildProcess | null = null;
  #output = '';
  #rest = '';

  constructor(folder: string, configFile: string, ports: { readonly port: number; readonly adminPort: number }) {
    this.folder = folder;
    this.configFile = configFile;
    this.port = ports.port;
    this.adminPort = ports.adminPort;
  }

  output(): string {
    return this.#output;
  }

  pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the relay is not running');
    return pid;
  }

  async start(): Promise<void> {
    const started = this.log.filter(({ event }) => event === 'relay.started').length;
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', this.configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => this.#read(chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
    await this.#until(() => this.log.filter(({ event }) => event === 'relay.started').length > started, 30_000);
  }

  #read(text: string): void {
    this.#output += text;
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.log.push(JSON.parse(line) as LogLine);
  }

  async #until(enough: () => boolean, patience: number): Promise<void> {
    const end = performance.now() + patience;
    while (!enough()) {
      if (this.#child?.exitCode !== null && this.#child?.exitCode !== undefined && !enough())
        throw new Error(`the relay ended with ${this.#child.exitCode}:\n${this.#output}`);
      if (performance.now() > end) throw new Error(`not seen in ${patience} ms:\n${this.#output}`);
      await sleep(10);
    }
  }

  async waitForLog(event: string, count = 1, patience = 15_000): Promise<readonly LogLine[]> {
    const seen = (): readonly LogLine[] => this.log.filter((line) => line.event === event);
    await this.#until(() => seen().length >= count, patience);
    return seen();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const ended = once(child, 'close');
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  async run(...words: readonly string[]): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
    const child = spawn(process.execPath, [MAIN, ...words, '--config', this.configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    await once(child, 'close');
    return { code: child.exitCode, out, err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The `tls` field of a log line; fails where it has none. */
export function tlsOf(line: LogLine | undefined): {
  readonly version: string;
  readonly cipher: string;
  readonly group: string | null;
} {
  const tls = line?.['tls'] as { version: string; cipher: string; group: string | null } | null | undefined;
  if (tls === null || tls === undefined) throw new Error(`no TLS in ${JSON.stringify(line)}`);
  return tls;
}
