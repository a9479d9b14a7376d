/**
 * `postern trace`: everything that happened to a message or an address, from the history of the running relay.
 */
import type { Command } from 'commander';
import type { TraceDocument } from '../admin/trace-format.ts';
import type { AdminClient } from './admin-client.ts';
import { type CommandContext, jsonText, withRelay } from './status.ts';
import type { ExitCode, Terminal } from './terminal.ts';
import { traceText } from './trace-format.ts';

/** What the command line said. */
export type TraceOptions = { readonly about: string; readonly limit?: string; readonly json: boolean };

/** Prints what is known. 0: something is. 1: nothing is, or the relay does not answer. */
export async function trace(options: TraceOptions, client: AdminClient, terminal: Terminal): Promise<ExitCode> {
  const { about, limit, json } = options;
  const answer = await client.get<TraceDocument>('/api/v1/trace', { q: about, limit });
  if (!answer.ok) {
    terminal.complain(answer.error.text);
    return answer.error.exit;
  }
  await terminal.write(json ? jsonText(answer.value) : traceText(answer.value, terminal.columns));
  return answer.value.messages.length > 0 ? 0 : 1;
}

/** Adds `trace` to the program. `--config` is the program's own option. */
export function registerTrace(program: Command, context: CommandContext): void {
  program
    .command('trace')
    .description('everything that happened to a message or an address: accepted from whom, each attempt, why it waits')
    .argument('<about>', 'queue id, or the address of a recipient or sender')
    .option('--limit <n>', 'of an address: at most so many messages, the latest; up to 100 (default 20)')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `
Examples:
  postern trace 01KDXJ5V2M7Q8R9S0T1V2W3X4Y
  postern trace bob@example.net --limit 3

Times are UTC. Kept for 30 days, at most 512 MiB.
Exit codes: 0 something is known, 1 nothing is or the relay does not answer, 2 usage or configuration error.`,
    )
    .action(async (about: string, _options: unknown, command: Command) => {
      const { config, ...options } = command.optsWithGlobals<{ json: boolean; limit?: string; config?: string }>();
      await withRelay(config, context, (client) => trace({ about, ...options }, client, context.terminal));
    });
}
