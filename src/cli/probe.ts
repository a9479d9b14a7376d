/**
 * `postern probe`: the same as `explain`, then really connects: each host, address and rung, certificate and answer.
 */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { approachOf } from '../delivery/approach.ts';
import { explain } from '../delivery/explain.ts';
import { type ProbedHost, type ProbeMessage, probe } from '../delivery/probe.ts';
import { mailboxText, reversePathText } from '../domain/address.ts';
import type { Envelope } from '../domain/envelope.ts';
import { queueIdFrom } from '../domain/queue-id.ts';
import { mailDate } from '../reporting/mime-format.ts';
import { createTransport } from '../transport/nodemailer-session.ts';
import { commandClock, explainContext, type MessageOptions, openSources, type Prepared, prepare } from './explain-context.ts';
import { explanationText } from './explain-format.ts';
import { probeDocument, probeText } from './probe-format.ts';
import { type CommandContext, jsonText } from './status.ts';
import type { ExitCode } from './terminal.ts';

/** What the command line said. */
export type ProbeOptions = MessageOptions & { readonly send: boolean; readonly json: boolean };

/** 0: the message could go. 1: no host meets the policy. 2: usage or configuration. */
export async function runProbe(
  recipient: string | undefined,
  options: ProbeOptions,
  { terminal }: CommandContext,
): Promise<ExitCode> {
  const prepared = prepare(recipient, options);
  if (!prepared.ok) {
    terminal.complain(prepared.error);
    return 2;
  }
  const sources = await openSources(prepared.value);
  const transport = createTransport(commandClock);
  const explanation = await explain(prepared.value.request, explainContext(prepared.value, sources));
  const { next, connector } = explanation;
  const approach = approachOf(
    { connector, config: prepared.value.config, materials: materialsOf(prepared.value, connector.name) },
    () => {
      throw new Error('a probe goes by the explanation');
    },
  );
  const message = messageOf(prepared.value, options.send);
  const hosts = next.kind === 'hosts' ? await probe(next.hosts, message, { transport, clock: commandClock, approach }) : [];
  transport.close();
  sources.close();
  if (options.json) await terminal.write(jsonText(probeDocument(hosts)));
  else
    await terminal.write(
      `${explanationText(explanation, terminal.columns)}${hosts.length === 0 ? '' : `\nTried\n\n${probeText(hosts)}`}`,
    );
  return hosts.some(isReached) ? 0 : 1;
}

const isReached = ({ addresses }: ProbedHost): boolean => addresses.some(({ satisfied }) => satisfied);

function materialsOf({ materials }: Prepared, connector: string): Prepared['materials'][string] {
  return materials[connector] ?? { id: 'none', trust: { system: false, pem: [] }, clientCertificate: null };
}

/** One recipient, and a body only where it is to be sent. */
function messageOf({ config, request }: Prepared, send: boolean): ProbeMessage {
  const now = commandClock.now();
  const queueId = queueIdFrom(now, randomBytes(10));
  const from = reversePathText(request.sender);
  const text = [
    `Date: ${mailDate(now)}`,
    `From: <${from === '' ? config.bounces.from : from}>`,
    `To: <${mailboxText(request.recipient)}>`,
    'Subject: Test message from Postern',
    `Message-ID: <${queueId}@${config.hostname}>`,
    'Auto-Submitted: auto-generated',
    '',
    'An administrator sent this message with "postern probe --send" to test the way mail takes to you.',
    '',
  ].join('\r\n');
  const wire = Buffer.from(text);
  const envelope: Envelope = {
    queueId,
    reversePath: request.sender,
    origin: { kind: 'notice' },
    receivedAt: now,
    sizeBytes: wire.length,
    eightBit: false,
    smtpUtf8: /[^\x00-\x7f]/.test(mailboxText(request.recipient) + from),
    requireTls: request.demand === 'requiretls',
    tlsRequiredNo: false,
    dsn: { return: null, envelopeId: null },
  };
  const recipients = [
    {
      number: 0,
      recipient: { mailbox: request.recipient, notify: null, originalRecipient: null },
      attempts: 1,
      delayNoticeSent: false,
    },
  ];
  return { envelope, recipients, body: send ? { kind: 'memory', wire } : null };
}

/** Adds `probe` to the program. */
export function registerProbe(program: Command, context: CommandContext): void {
  program
    .command('probe')
    .description('explain, then really connect: each host and rung, TLS, certificate with verdict, EHLO keywords, answer to RCPT')
    .argument('[recipient]', 'address of the recipient; may be left out with --connector')
    .option('--connector <name>', 'through this connector, whatever would match')
    .option('--from <sender>', 'sender of the message; <> for the null sender', '')
    .option('--requiretls', 'as if the message came with REQUIRETLS', false)
    .option('--send', 'send one small test message to the first host that meets the policy', false)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      '\nWithout --send it stops before DATA.\nExit status: 0 the message could go, 1 no host meets the policy, 2 usage or configuration error.',
    )
    .action(async (recipient: string | undefined, _options: unknown, command: Command) => {
      context.exit(await runProbe(recipient, command.optsWithGlobals<ProbeOptions>(), context));
    });
}
