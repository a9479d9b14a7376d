/**
 * One client's end of a port to the spool thread: numbers operations, posts those of one turn of the event loop together with
 * their bodies in one transferred buffer, hands each answer to who asked.
 */
import type { MessagePort } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import type { StoredPolicy } from '../domain/mta-sts.ts';
import type { HostMemoryChange, SpoolHealth, SpoolProblem } from './spool.ts';
import type { Answer, PostedBody, SpoolOp, SpoolReply } from './spool-protocol.ts';

const CLOSED: SpoolProblem = { kind: 'closed', detail: 'the spool is closed' };
const UNHEARD: SpoolProblem = { kind: 'closed', detail: 'the spool has not answered yet' };
/** A post with bodies of this size does not wait for the end of the turn. */
const POST_BYTES = 4 * 1024 * 1024;

/** Called once with the answer; with a problem where the spool ended first. */
export type Waiter = (answer: Answer) => void;

/** See the functions' comments. */
export type Connection = {
  /** A number for the next operation. */
  nextId(): number;
  /** Puts a body into this turn's post; the operation that refers to it must be sent right after. */
  enclose(wire: Uint8Array): PostedBody;
  send(op: SpoolOp, waiter: Waiter): void;
  /** `send` as a promise. */
  ask(op: SpoolOp): Promise<Answer>;
  health(): SpoolHealth;
  onHostMemory(listener: (change: HostMemoryChange) => void): void;
  onPolicy(listener: (policy: StoredPolicy) => void): void;
  /** Waits for what is still owed (long polls apart, which end empty), then gives the port up. */
  close(): Promise<void>;
};

/** Takes over the port. It keeps its thread alive until closed. */
export function openConnection(port: MessagePort): Connection {
  const waiting = new Map<number, Waiter>();
  const outgoing = createOutgoing(port);
  const hostListeners: ((change: HostMemoryChange) => void)[] = [];
  const policyListeners: ((policy: StoredPolicy) => void)[] = [];
  const polls = new Set<number>();
  let settled: (() => void) | null = null;
  let lastId = 0;
  let ended = false;
  let health: SpoolHealth = { writable: false, low: false, freeBytes: 0, problem: UNHEARD };

  const answered = (id: number, answer: Answer): void => {
    const waiter = waiting.get(id);
    if (waiter === undefined) return;
    waiting.delete(id);
    polls.delete(id);
    waiter(answer);
    if (waiting.size === polls.size) settled?.();
  };
  const send = (op: SpoolOp, waiter: Waiter): void => {
    if (ended) return waiter({ kind: 'problem', problem: CLOSED });
    waiting.set(op.id, waiter);
    if (op.op === 'claim') polls.add(op.id);
    outgoing.push(op);
  };
  port.on('message', (reply: SpoolReply) => {
    switch (reply.kind) {
      case 'answers':
        for (const id of reply.done) answered(id, { kind: 'done' });
        for (const [id, answer] of reply.others) answered(id, answer);
        break;
      case 'health':
        health = reply.health;
        break;
      case 'host-memory':
        for (const listener of hostListeners) listener(reply.change);
        break;
      case 'policy':
        for (const listener of policyListeners) listener(reply.policy);
        break;
    }
  });
  const over = new Promise<void>((resolve) => port.once('close', () => resolve())).then(() => {
    ended = true;
    health = { ...health, writable: false, problem: CLOSED };
    for (const id of [...waiting.keys()]) answered(id, { kind: 'problem', problem: CLOSED });
  });
  return {
    nextId: () => ++lastId,
    enclose: outgoing.enclose,
    send,
    ask: (op) => new Promise((resolve) => send(op, resolve)),
    health: () => health,
    onHostMemory: (listener) => void hostListeners.push(listener),
    onPolicy: (listener) => void policyListeners.push(listener),
    async close() {
      outgoing.flush();
      if (waiting.size > polls.size) {
        await new Promise<void>((resolve) => {
          settled = resolve;
        });
      }
      port.close();
      await over;
    },
  };
}

/** The post of this turn. */
function createOutgoing(port: MessagePort) {
  let ops: SpoolOp[] = [];
  let bodies: Uint8Array[] = [];
  let bytes = 0;
  let scheduled = false;
  const flush = (): void => {
    scheduled = false;
    if (ops.length === 0) return;
    const packed = bytes > 0 ? pack(bodies, bytes) : null;
    port.postMessage({ ops, bodies: packed }, packed === null ? [] : [packed.buffer]);
    ops = [];
    bodies = [];
    bytes = 0;
  };
  return {
    flush,
    enclose(wire: Uint8Array): PostedBody {
      const offset = bytes;
      bodies.push(wire);
      bytes += wire.length;
      return { kind: 'bytes', offset, length: wire.length, checksum: crc32(wire) };
    },
    push(op: SpoolOp): void {
      ops.push(op);
      if (bytes >= POST_BYTES) flush();
      else if (!scheduled) {
        scheduled = true;
        setImmediate(flush);
      }
    },
  };
}

/** One buffer of its own (never out of Node's pool, whose memory must not be transferred). */
function pack(bodies: readonly Uint8Array[], bytes: number): Buffer<ArrayBuffer> {
  const packed = Buffer.allocUnsafeSlow(bytes);
  let at = 0;
  for (const body of bodies) {
    packed.set(body, at);
    at += body.length;
  }
  return packed;
}
