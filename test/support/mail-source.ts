/**
 * Sends numbered messages over several connections and keeps the ledger: which were acknowledged, which are in doubt.
 * A broken connection is opened anew until `stop`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type ScriptedClient } from './scripted-client.ts';

/** What became of the messages, by their `X-Token`. */
export type Ledger = { readonly acknowledged: ReadonlySet<string>; readonly inDoubt: ReadonlySet<string> };

export type MailSource = {
  readonly ledger: Ledger;
  /** Ends after the messages under way. */
  stop(): Promise<void>;
};

export type SourceOptions = {
  readonly port: number;
  readonly connections: number;
  readonly to: (token: string) => string;
  readonly startTls?: boolean;
  readonly pad?: number;
};

let sources = 0;

/** Starts at once; sends until stopped. */
export function startSource(options: SourceOptions): MailSource {
  const acknowledged = new Set<string>();
  const inDoubt = new Set<string>();
  sources += 1;
  const prefix = `s${sources}`;
  let stopping = false;
  let number = 0;

  const one = async (client: ScriptedClient): Promise<void> => {
    number += 1;
    const token = `${prefix}-${number}`;
    await client.command('MAIL FROM:<source@sender.test>', 250);
    await client.command(`RCPT TO:<${options.to(token)}>`, 250);
    await client.command('DATA', 354);
    inDoubt.add(token);
    client.raw(`X-Token: ${token}\r\nSubject: ${token}\r\n\r\n${'x'.repeat(options.pad ?? 100)}\r\n.\r\n`);
    const reply = await client.reply();
    if (reply === null) return;
    inDoubt.delete(token);
    if (reply.code === 250) acknowledged.add(token);
  };
  const line = async (): Promise<void> => {
    while (!stopping) {
      try {
        const client = await connectClient({ address: '127.0.0.1', port: options.port });
        try {
          await client.expect(220);
          await client.ehlo();
          if (options.startTls === true) {
            await client.startTls();
            await client.ehlo();
          }
          while (!stopping) await one(client);
          client.raw('QUIT\r\n');
        } finally {
          client.destroy();
        }
      } catch {
        await sleep(20);
      }
    }
  };
  const lines = Array.from({ length: options.connections }, line);
  return {
    ledger: { acknowledged, inDoubt },
    stop: async () => {
      stopping = true;
      await Promise.all(lines);
    },
  };
}

/** How often each token arrived, from message contents. */
export function countTokens(contents: readonly Buffer[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const content of contents) {
    const token = /^X-Token: (\S+)/m.exec(content.toString('latin1'))?.[1];
    if (token !== undefined) counts.set(token, (counts.get(token) ?? 0) + 1);
  }
  return counts;
}
