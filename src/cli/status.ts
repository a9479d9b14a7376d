/**
 * `postern status`: how the running relay is.
 */
import type { Command } from 'commander';
import type { StatusDocument } from '../admin/documents-format.ts';
import type { Milliseconds } from '../domain/basics.ts';
import { escapeJson } from '../domain/escape.ts';
import { type AdminClient, createAdminClient, targetFromFile } from './admin-client.ts';
import { ageText, facts, sizeText } from './table-format.ts';
import type { ExitCode, Terminal } from './terminal.ts';

/** What a command gets from main.ts. */
export type CommandContext = { readonly terminal: Terminal; exit(code: ExitCode): void };

/** The document as a command prints it with `--json`: harmless on a terminal, too. */
export const jsonText = (document: object): string => `${escapeJson(JSON.stringify(document, null, 2))}\n`;

const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`;

function queueText({ queue }: StatusDocument, now: Milliseconds): string {
  const { queued, leased, held } = queue.recipients;
  const oldest = queue.oldest === null ? '' : `, oldest ${ageText(now - Date.parse(queue.oldest))}`;
  return `${count(queue.messages, 'message', 'messages')}, ${sizeText(queue.bytes)}${oldest}; recipients: ${queued} waiting, ${leased} under way, ${held} held`;
}

function spoolText({ spool }: StatusDocument): string {
  const state = spool.writable ? 'writable' : 'NOT WRITABLE';
  return [state, `${sizeText(spool.freeBytes)} free${spool.low ? ' (TOO LOW: mail is put off)' : ''}`, spool.problem ?? '']
    .filter((part) => part !== '')
    .join(', ');
}

function statusText(status: StatusDocument, now: Milliseconds): string {
  const { traffic, workers, sessions } = status;
  const running = workers.running === workers.configured ? `${workers.running}` : `${workers.running} of ${workers.configured}`;
  const state = status.ready ? 'ready' : `NOT READY: ${status.notReadyBecause.join('; ')}`;
  return facts([
    ['relay', `${status.hostname}, Postern ${status.version}, pid ${status.pid}`],
    ['state', state],
    ['up', ageText(status.uptimeSeconds * 1000)],
    ['configuration', `${status.config.file}, read ${ageText(now - Date.parse(status.config.loadedAt))} ago`],
    ...status.listeners.map(({ name, address, tls }): [string, string] => ['listener', `${name} ${address} ${tls}`]),
    ['threads', running],
    ['queue', queueText(status, now)],
    ['spool', spoolText(status)],
    ['sessions', `${sessions.inbound} in, ${sessions.outbound} out`],
    ['messages', `${traffic.accepted} accepted, ${traffic.rejected} refused since start`],
    [
      'recipients',
      `${traffic.delivered} delivered, ${traffic.deferred} put off, ${traffic.failed} failed, ${traffic.expired} expired since start`,
    ],
    [
      'last delivery',
      status.lastDelivery === null ? 'none since start' : `${ageText(now - Date.parse(status.lastDelivery))} ago`,
    ],
    ...status.certificates.map((certificate): [string, string] => [
      'certificate',
      `${certificate.names.join(', ')}: ${certificate.daysLeft} days left${certificate.selfSigned ? ', self-signed' : ''} (${certificate.file})`,
    ]),
  ]);
}

/** Prints the status. 0: the relay takes mail. 1: it does not, or does not answer. */
export async function status(options: { readonly json: boolean }, client: AdminClient, terminal: Terminal): Promise<ExitCode> {
  const answer = await client.get<StatusDocument>('/api/v1/status');
  if (!answer.ok) {
    terminal.complain(answer.error.text);
    return answer.error.exit;
  }
  await terminal.write(options.json ? jsonText(answer.value) : statusText(answer.value, terminal.now()));
  return answer.value.ready ? 0 : 1;
}

/** Finds the relay by the configuration and runs a command against it. */
export async function withRelay(
  config: string | undefined,
  context: CommandContext,
  run: (client: AdminClient) => Promise<ExitCode>,
): Promise<void> {
  const target = targetFromFile(config);
  if (target.ok) return context.exit(await run(createAdminClient(target.value)));
  context.terminal.complain(target.error.text);
  context.exit(target.error.exit);
}

/** Adds `status` to the program. `--config` is the program's own option. */
export function registerStatus(program: Command, context: CommandContext): void {
  program
    .command('status')
    .description('how the running relay is: listeners, queue, spool, traffic, certificates')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 the relay takes mail, 1 it does not or does not answer, 2 usage or configuration error.',
    )
    .action(async (_options: unknown, command: Command) => {
      const { json, config } = command.optsWithGlobals<{ json: boolean; config?: string }>();
      await withRelay(config, context, (client) => status({ json }, client, context.terminal));
    });
}
