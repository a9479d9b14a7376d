/** A relay before a farm of receivers: configuration for it, and what its log says about one of them. */
import type { BehaviourName } from './lab/behaviour-table.ts';
import { type Receiver, type ReceiverOptions, startReceiver } from './lab/receiver.ts';
import type { LogLine, TempRelay } from './temp-relay.ts';

/** Some receivers, stopped together. */
export type Receivers<Name extends BehaviourName> = AsyncDisposable & {
  /** In the order asked for. */
  readonly all: readonly Receiver[];
  of(name: Name): Receiver;
  stop(): Promise<void>;
};

/** Receivers by behaviour, each on a loopback address of its own as hosts are. `subnet`: the third number of 127.1.x.y. */
export async function startReceivers<Name extends BehaviourName>(
  names: readonly Name[],
  subnet: number,
  options: ReceiverOptions = {},
): Promise<Receivers<Name>> {
  const all = await Promise.all(
    names.map((name, at) => startReceiver(name, { ...options, address: `127.1.${subnet}.${at + 1}` })),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(all.map((receiver) => receiver.stop()));
  };
  const of = (name: Name): Receiver => {
    const found = all.find(({ behaviour }) => behaviour === name);
    if (found === undefined) throw new Error(`no receiver ${name} was started`);
    return found;
  };
  return { all, of, stop, [Symbol.asyncDispose]: stop };
}

/** A smarthost connector for `recipientDomain`, by default the receiver's name; `more` are further lines of the connector. */
export const connectorTo = (receiver: Receiver, { mode = 'opportunistic', domain = receiver.hostname, more = '' } = {}): string =>
  `  - name: ${domain.replaceAll(/[^a-z0-9-]/g, '-').replace(/^-+/, '')}
    match: { recipientDomains: ["${domain}"] }
    route: { kind: smarthost, hosts: ["[${receiver.address}]:${receiver.port}"] }
    tls: { mode: ${mode} }${more === '' ? '' : `\n    ${more}`}`;

/** The lines of one event about one recipient address or domain, or about a connector where the event names no recipient. */
export const linesAbout = (relay: TempRelay, event: string, about: string): readonly LogLine[] =>
  relay.log.filter(
    (line) => line.event === event && (line['to'] === about || String(line['to']).endsWith(`@${about}`) || line['ip'] === about),
  );
