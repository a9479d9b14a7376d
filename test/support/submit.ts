/**
 * Hands messages to a relay as a well-behaved client does: one session, any number of messages, each with a marked line so that a
 * test can prove where its octets went.
 */
import { strict as assert } from 'node:assert';
import { connectClient, type Reply, type ScriptedClient } from './scripted-client.ts';
import type { TempRelay } from './temp-relay.ts';

/** Stands in every submitted body and in no header: nothing else on the wire contains it. */
export const SECRET = 'SECRET-OF-THE-MESSAGE';

/** A message to hand over. */
export type Mail = {
  readonly to: string | readonly string[];
  /** By default `user@sender.test`; empty for the null reverse-path. */
  readonly from?: string;
  readonly subject?: string;
  /** Follows `MAIL FROM:<…>`, such as `RET=HDRS ENVID=x`. */
  readonly mailParameters?: string;
  /** Follows each `RCPT TO:<…>`, such as `NOTIFY=NEVER`. */
  readonly rcptParameters?: string;
};

const listOf = (to: Mail['to']): readonly string[] => (typeof to === 'string' ? [to] : to);
const joined = (command: string, parameters = ''): string => (parameters === '' ? command : `${command} ${parameters}`);

/** Opens a session up to the reply to EHLO. */
export async function openSession(relay: Pick<TempRelay, 'port'>, localAddress?: string): Promise<ScriptedClient> {
  const source = localAddress === undefined ? {} : { localAddress };
  const client = await connectClient({ address: '127.0.0.1', port: relay.port, ...source });
  await client.expect(220);
  await client.ehlo();
  return client;
}

/** One transaction on an open session; the queue id of the reply `250 … queued as ID`. */
export async function hand(client: ScriptedClient, mail: Mail): Promise<string> {
  await client.command(joined(`MAIL FROM:<${mail.from ?? 'user@sender.test'}>`, mail.mailParameters), 250);
  for (const to of listOf(mail.to)) await client.command(joined(`RCPT TO:<${to}>`, mail.rcptParameters), 250);
  await client.command('DATA', 354);
  client.raw(`Subject: ${mail.subject ?? 'test'}\r\n\r\n${SECRET}\r\n..dot\r\n.\r\n`);
  const reply = await client.expect(250);
  return queueIdOf(reply);
}

/** Hands messages over in one session and leaves. Their queue ids, in order. */
export async function submit(relay: Pick<TempRelay, 'port'>, ...mails: readonly Mail[]): Promise<readonly string[]> {
  const client = await openSession(relay);
  try {
    const ids: string[] = [];
    for (const mail of mails) ids.push(await hand(client, mail));
    await client.quit();
    return ids;
  } finally {
    client.destroy();
  }
}

function queueIdOf(reply: Reply): string {
  const id = /queued as (\S+)/.exec(reply.lines.join(' '))?.[1];
  assert.ok(id !== undefined, reply.lines.join(' / '));
  return id;
}
