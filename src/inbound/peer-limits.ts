/**
 * Counts connections, messages and failed logins by address, for all threads together: every thread writes its own row of shared memory and
 * adds up everyone's. Addresses are hashed into slots; IPv6 counts by /64. A row dies with its thread: whoever restarts it zeroes it.
 */
import { isIPv6 } from 'node:net';
import type { Clock } from '../domain/basics.ts';
import type { LimitsConfig } from '../domain/config.ts';

const SLOTS = 16_384;
const TOTAL = 0;
const MINUTE = 1;
const TEN_MINUTES = 2;
const CONNECTIONS = 3;
const MESSAGES = CONNECTIONS + SLOTS;
const LOGINS = MESSAGES + SLOTS;
const ROW = LOGINS + SLOTS;
/** Failed logins of one address in ten minutes; then none is tried until these are over. */
const FAILED_LOGINS = 20;

/** Octets of shared memory for so many threads. */
export const peerTableBytes = (threads: number): number => threads * ROW * Int32Array.BYTES_PER_ELEMENT;

/** Shared memory for the counts of so many threads; post it to each. */
export const createPeerTable = (threads: number): SharedArrayBuffer => new SharedArrayBuffer(peerTableBytes(threads));

/** Where and how a thread counts. `seed`: the same in all threads, unknown outside. */
export type PeerTable = { readonly memory: SharedArrayBuffer; readonly thread: number; readonly seed: number };

/** Leave to be connected. `release` gives it back; idempotent. */
export type Admission =
  | { readonly kind: 'admitted'; release(): void }
  | { readonly kind: 'refused'; readonly by: 'total' | 'address' };

/** Connections and messages by address. */
export type PeerLimits = {
  admit(address: string, limits: LimitsConfig): Admission;
  /** Counts one message; false where the address has had its share of this minute. */
  mayStartMessage(address: string, limits: LimitsConfig): boolean;
  /** False where too many logins from the address failed in these ten minutes. */
  mayLogIn(address: string): boolean;
  /** Counts a failed login. */
  loginFailed(address: string): void;
};

/** The limits as one thread sees them. Zeroes the thread's own row. */
export function createPeerLimits(table: PeerTable, clock: Clock): PeerLimits {
  const all = new Int32Array(table.memory);
  const rows = Array.from({ length: Math.floor(all.length / ROW) }, (_, row) => row * ROW);
  const own = table.thread * ROW;
  all.fill(0, own, own + ROW);
  const sum = (place: number): number => rows.reduce((total, row) => total + Atomics.load(all, row + place), 0);
  const slot = (address: string): number => hash(isIPv6(address) ? network64(address) : address, table.seed) % SLOTS;

  const admit = (address: string, limits: LimitsConfig): Admission => {
    const place = CONNECTIONS + slot(address);
    if (sum(TOTAL) >= limits.connections) return { kind: 'refused', by: 'total' };
    if (sum(place) >= limits.connectionsPerAddress) return { kind: 'refused', by: 'address' };
    Atomics.add(all, own + TOTAL, 1);
    Atomics.add(all, own + place, 1);
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      Atomics.sub(all, own + TOTAL, 1);
      Atomics.sub(all, own + place, 1);
    };
    return { kind: 'admitted', release };
  };

  const mayStartMessage = (address: string, limits: LimitsConfig): boolean => {
    const limit = limits.messagesPerMinutePerAddress;
    if (limit === null) return true;
    const minute = Math.floor(clock.now() / 60_000) | 0;
    if (Atomics.load(all, own + MINUTE) !== minute) {
      all.fill(0, own + MESSAGES, own + LOGINS);
      Atomics.store(all, own + MINUTE, minute);
    }
    const place = MESSAGES + slot(address);
    const current = rows.filter((row) => Atomics.load(all, row + MINUTE) === minute);
    if (current.reduce((total, row) => total + Atomics.load(all, row + place), 0) >= limit) return false;
    Atomics.add(all, own + place, 1);
    return true;
  };
  const tenMinutes = (): number => Math.floor(clock.now() / 600_000) | 0;
  const mayLogIn = (address: string): boolean => {
    const place = LOGINS + slot(address);
    const current = rows.filter((row) => Atomics.load(all, row + TEN_MINUTES) === tenMinutes());
    return current.reduce((total, row) => total + Atomics.load(all, row + place), 0) < FAILED_LOGINS;
  };
  const loginFailed = (address: string): void => {
    if (Atomics.load(all, own + TEN_MINUTES) !== tenMinutes()) {
      all.fill(0, own + LOGINS, own + ROW);
      Atomics.store(all, own + TEN_MINUTES, tenMinutes());
    }
    Atomics.add(all, own + LOGINS + slot(address), 1);
  };
  return { admit, mayStartMessage, mayLogIn, loginFailed };
}

/** FNV-1a over the text, from a seed. */
function hash(text: string, seed: number): number {
  let value = (0x811c9dc5 ^ seed) >>> 0;
  for (let at = 0; at < text.length; at += 1) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return (value ^ (value >>> 15)) >>> 0;
}

/** The first four groups of an IPv6 address, written out: `2001:db8:0:0`. */
function network64(address: string): string {
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array.from({ length: missing }, () => '0'), ...right].slice(0, 4);
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':');
}
