/**
 * `postern explain`: what would be done with a message, and why. Uses the configuration and DNS, no running relay; connects to
 * nobody but name servers and MTA-STS policy hosts.
 */
import type { Command } from 'commander';
import { explain } from '../delivery/explain.ts';
import { explainContext, type MessageOptions, openSources, prepare } from './explain-context.ts';
import { explanationDocument, explanationText } from './explain-format.ts';
import { type CommandContext, jsonText } from './status.ts';
import type { ExitCode } from './terminal.ts';

/** What the command line said. */
export type ExplainOptions = MessageOptions & { readonly dns: boolean; readonly json: boolean };

/** 0: explained. 1: the message would not go anywhere. 2: usage or configuration. */
export async function runExplain(recipient: string, options: ExplainOptions, { terminal }: CommandContext): Promise<ExitCode> {
  const prepared = prepare(recipient, options);
  if (!prepared.ok) {
    terminal.complain(prepared.error);
    return 2;
  }
  const sources = options.dns ? await openSources(prepared.value) : null;
  const explanation = await explain(prepared.value.request, explainContext(prepared.value, sources));
  sources?.close();
  await terminal.write(
    options.json ? jsonText(explanationDocument(explanation)) : explanationText(explanation, terminal.columns),
  );
  return explanation.next.kind === 'rejected' || explanation.next.kind === 'no-host' ? 1 : 0;
}

/** Adds `explain` to the program. */
export function registerExplain(program: Command, context: CommandContext): void {
  program
    .command('explain')
    .description(
      'what would be done with a message and why: connector, next hops, TLS policy with its source, ladder, retry plan',
    )
    .argument('<recipient>', 'address of the recipient')
    .option('--from <sender>', 'sender of the message; <> for the null sender', '')
    .option('--requiretls', 'as if the message came with REQUIRETLS', false)
    .option('--no-dns', 'look nothing up: connector and demands only')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExit status: 0 explained, 1 the message would go nowhere, 2 usage or configuration error.')
    .action(async (recipient: string, _options: unknown, command: Command) => {
      context.exit(await runExplain(recipient, command.optsWithGlobals<ExplainOptions>(), context));
    });
}
