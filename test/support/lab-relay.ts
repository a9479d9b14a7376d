/** A relay before a farm of receivers: configuration for it, and what its log says about one of them. */
import { type BehaviourName, isBehaviourName } from './lab/behaviour-table.ts';
import { type Receiver, type ReceiverOptions, startReceiver } from './lab/receiver.ts';
import type { LogLine, TempRelay } from './temp-relay.ts';

/** Receivers by behaviour, each on a loopback address of its own as hosts are. `subnet`: the third number of 127.1.x.y. */
export async function startReceivers<Name extends BehaviourName>(
  names: readonly Name[],
  subnet: number,
  options: ReceiverOptions = {},
): Promise<ReadonlyMap<Name, Receiver>> {
  const started = names.map(
    async (name, at) => [name, await startReceiver(name, { ...options, address: `127.1.${subnet}.${at + 1}` })] as const,
  );
  return new Map(await Promise.all(started));
}

/** Stops them all. */
export const stopAll = async (receivers: Iterable<Receiver>): Promise<void> => {
  await Promise.all([...receivers].map((receiver) => receiver.stop()));
};

/** A smarthost connector for `recipientDomain`, by default the receiver's name; `more` are further lines of the connector. */
export const connectorTo = (receiver: Receiver, { mode = 'opportunistic', domain = receiver.hostname, more = '' } = {}): string =>
  `  - name: ${domain.replaceAll(/[^a-z0-9-]/g, '-')}
    match: { recipientDomains: ["${domain}"] }
    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }
    tls: { mode: ${mode} }${more === '' ? '' : `\n    ${more}`}`;

/** The lines of one event about one recipient address or domain, or about a connector where the event names no recipient. */
export const linesAbout = (relay: TempRelay, event: string, about: string): readonly LogLine[] =>
  relay.log.filter(
    (line) => line.event === event && (line['to'] === about || String(line['to']).endsWith(`@${about}`) || line['ip'] === about),
  );

/** The behaviour a `…@NAME.lab.test` address goes to. */
export function behaviourOfAddress(address: string): BehaviourName | null {
  const name = /@(.*)\.lab\.test$/.exec(address)?.[1] ?? '';
  return isBehaviourName(name) ? name : null;
}
