/**
 * The whole farm: one receiver per behaviour, each on a loopback address of its own and all on one port, as real MX hosts are.
 */
import { BEHAVIOUR_NAMES, type BehaviourName } from './behaviour-table.ts';
import type { LabEntry } from './lab-format.ts';
import { type Receiver, startReceiver } from './receiver.ts';

export type LabOptions = {
  /** By default 2500, which needs no privileges. */
  readonly port?: number;
  /** The first receiver's; the others follow. By default 127.1.0.1. */
  readonly firstAddress?: string;
  /** By default all. */
  readonly only?: readonly BehaviourName[];
  /** Told of everything the receivers see, one JSON document a line, without the line's end. */
  readonly out: (line: string) => void;
};

export type Lab = {
  readonly entries: readonly LabEntry[];
  receiver(name: BehaviourName): Receiver | null;
  /** Stops all; resolves when nothing is left open. Idempotent. */
  stop(): Promise<void>;
};

/** Facts and messages each receiver of a farm keeps: it may run for weeks. */
const REMEMBER = 1000;
const KEEP_OCTETS = 64 * 1024;

/** Starts the farm. Rejects where an address cannot be had, leaving nothing open. */
export async function startLab(options: LabOptions): Promise<Lab> {
  const { port = 2500, firstAddress = '127.1.0.1', only = BEHAVIOUR_NAMES } = options;
  const listener = (fact: unknown): void => options.out(JSON.stringify(fact));
  const receivers = new Map<BehaviourName, Receiver>();
  const stop = async (): Promise<void> => {
    await Promise.all([...receivers.values()].map((receiver) => receiver.stop()));
  };
  try {
    // Addresses go with the table, so that one behaviour keeps its address whatever else is asked for.
    for (const [index, name] of BEHAVIOUR_NAMES.entries()) {
      if (!only.includes(name)) continue;
      const address = addressAfter(firstAddress, index);
      receivers.set(name, await startReceiver(name, { address, port, remember: REMEMBER, keepOctets: KEEP_OCTETS, listener }));
    }
  } catch (problem) {
    await stop();
    throw problem;
  }
  const entries = [...receivers.values()].map(({ behaviour, address, port: bound }) => ({ behaviour, address, port: bound }));
  return { entries, receiver: (name) => receivers.get(name) ?? null, stop };
}

/** The IPv4 address so many after the first. */
function addressAfter(first: string, count: number): string {
  const number = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) + count;
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
