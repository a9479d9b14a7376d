/** How the lab shows itself: a table for people, connectors to paste into a configuration. */
import { type BehaviourName, behaviourOf } from './behaviour-table.ts';

/** Where a behaviour can be found. */
export type LabEntry = { readonly behaviour: BehaviourName; readonly address: string; readonly port: number };

const INDENT = '    ';

/** One block per receiver: where, what it does, what a correct relay does. */
export function labTable(entries: readonly LabEntry[]): string {
  const where = entries.map((entry) => `${entry.address}:${entry.port}`);
  const widest = Math.max(0, ...where.map((text) => text.length));
  const lines = entries.map((entry, index) => {
    const { does, opportunistic, encrypt } = behaviourOf(entry.behaviour);
    const expected =
      opportunistic === encrypt ? [`a correct relay: ${encrypt}`] : [`opportunistic: ${opportunistic}`, `encrypt: ${encrypt}`];
    return [`${(where[index] ?? '').padEnd(widest)}  ${entry.behaviour}`, `does: ${does}`, ...expected].join(`\n${INDENT}`);
  });
  return `${lines.join('\n')}\n`;
}

/** The same facts as plain data with stable keys. */
export const labDocument = (entries: readonly LabEntry[]): unknown => ({
  event: 'lab',
  receivers: entries.map((entry) => {
    const { does, opportunistic, encrypt } = behaviourOf(entry.behaviour);
    return { ...entry, recipientDomain: domainOf(entry), does, expected: { opportunistic, encrypt } };
  }),
});

/**
 * Outbound connectors, one per behaviour, for mail to `anyone@NAME.lab.test`. Those that need `tls: implicit` are commented out:
 * a relay without that route refuses the whole file.
 */
export function connectorYaml(entries: readonly LabEntry[], mode: 'opportunistic' | 'encrypt'): string {
  const connectors = entries.map((entry) => {
    const implicit = behaviourOf(entry.behaviour).tls.start === 'implicit';
    const lines = [
      `- name: lab-${entry.behaviour}`,
      `  match: { recipientDomains: [${domainOf(entry)}] }`,
      `  route: { kind: smarthost, hosts: ["[${entry.address}]:${entry.port}"]${implicit ? ', tls: implicit' : ''} }`,
      `  tls: { mode: ${mode} }`,
    ];
    return lines.map((line) => `  ${implicit ? '# ' : ''}${line}`).join('\n');
  });
  return `outbound:\n${connectors.join('\n')}\n`;
}

const domainOf = (entry: LabEntry): string => `${entry.behaviour}.lab.test`;
