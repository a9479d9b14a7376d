/**
 * `npm run lab`: the farm for operators. Prints where every receiver is and connectors for them, then what they see as JSON lines,
 * until SIGINT or SIGTERM.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BEHAVIOUR_NAMES, type BehaviourName, isBehaviourName } from './behaviour-table.ts';
import { type Lab, startLab } from './lab.ts';
import { connectorYaml, labDocument, labTable } from './lab-format.ts';
import { labAuthority } from './receiver.ts';

const HELP = `Usage: npm run lab -- [options]

Well- and ill-behaved SMTP receivers on loopback addresses, one behaviour each, to try a configuration against.
What they see is printed as JSON lines. Ends with Ctrl-C.

  --port N           the port of all receivers (default 2500)
  --first-address A  the first receiver's address, the others follow (default 127.1.0.1)
  --only NAME        only this behaviour; may be given several times
  --mode MODE        tls.mode of the connectors printed: opportunistic (default) or encrypt
  --json             the table as one JSON document on the first line, no connectors
  --help             this text

Behaviours: ${BEHAVIOUR_NAMES.join(' ')}
`;

type Arguments = {
  readonly port: number;
  readonly firstAddress: string;
  readonly only: readonly BehaviourName[];
  readonly mode: 'opportunistic' | 'encrypt';
  readonly json: boolean;
};

/** What the command line asks for, or what is wrong with it; `help` where it asks for that. */
function readArguments(args: readonly string[]): Arguments | { readonly problem: string } | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: '2500' },
      'first-address': { type: 'string', default: '127.1.0.1' },
      only: { type: 'string', multiple: true, default: [] },
      mode: { type: 'string', default: 'opportunistic' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { mode, 'first-address': firstAddress, json } = values;
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return { problem: `--port ${values.port}: a number from 1 to 65535` };
  if (!isIPv4(firstAddress) || !firstAddress.startsWith('127.')) {
    return { problem: `--first-address ${firstAddress}: an address in 127.0.0.0/8` };
  }
  if (mode !== 'opportunistic' && mode !== 'encrypt') return { problem: `--mode ${mode}: opportunistic or encrypt` };
  const unknown = values.only.filter((name) => !isBehaviourName(name));
  if (unknown.length > 0) return { problem: `--only ${unknown[0]}: no such behaviour; there are ${BEHAVIOUR_NAMES.join(' ')}` };
  const only = values.only.length === 0 ? BEHAVIOUR_NAMES : values.only.filter(isBehaviourName);
  return { port, firstAddress, only, mode, json };
}

function introduce(lab: Lab, wanted: Arguments, authorityPath: string): string {
  if (wanted.json) return `${JSON.stringify(labDocument(lab.entries))}\n`;
  const yaml = connectorYaml(lab.entries, wanted.mode);
  const trust = `The certificates of the lab chain to ${authorityPath}`;
  return `${labTable(lab.entries)}\n${trust}\n\nConnectors to paste into a configuration:\n\n${yaml}\nWhat the receivers see:\n\n`;
}

async function run(wanted: Arguments): Promise<void> {
  const write = (text: string): void => void process.stdout.write(text);
  const folder = mkdtempSync(join(tmpdir(), 'postern-lab-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const authorityPath = join(folder, 'lab-ca.pem');
  writeFileSync(authorityPath, labAuthority().caPem);
  // A reader that left (`| head`) ends the lab as a signal does.
  const unread = new Promise<void>((resolve) => void process.stdout.once('error', () => resolve()));
  const stopped = Promise.race([signalled('SIGINT'), signalled('SIGTERM'), unread]);
  const lab = await startLab({ ...wanted, out: (line) => write(`${line}\n`) });
  write(introduce(lab, wanted, authorityPath));
  await stopped;
  await lab.stop();
}

const signalled = (signal: NodeJS.Signals): Promise<void> => new Promise((resolve) => void process.once(signal, () => resolve()));

/** True for what node:util's parseArgs throws. */
const isUsageError = (problem: unknown): boolean =>
  problem instanceof Error && 'code' in problem && String(problem.code).startsWith('ERR_PARSE_ARGS');

/** Exit 0 fine, 1 an address cannot be had, 2 usage. */
async function main(): Promise<number> {
  try {
    const wanted = readArguments(process.argv.slice(2));
    if (wanted === 'help') {
      process.stdout.write(HELP);
      return 0;
    }
    if ('problem' in wanted) {
      process.stderr.write(`${wanted.problem}\n`);
      return 2;
    }
    await run(wanted);
    return 0;
  } catch (problem) {
    process.stderr.write(`${problem instanceof Error ? problem.message : String(problem)}\n`);
    return isUsageError(problem) ? 2 : 1;
  }
}

process.exitCode = await main();
