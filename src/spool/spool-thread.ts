/**
 * Entry and composition root of the spool thread: the one writer of the queue file. Everything it needs of the world (clock,
 * files, ports) is put together here; the loop is group-commit.ts.
 */
import { dirname } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Clock, Instant } from '../domain/basics.ts';
import { bodyFilesIn, prepareBodyFolders, sweepBodies } from './body-files.ts';
import { diskSpace } from './disk-watch.ts';
import { createGroupCommit, type GroupCommit } from './group-commit.ts';
import { createQueueState, type QueueState } from './queue-state.ts';
import { forgetOld, recoverQueue } from './recover-queue.ts';
import type { SpoolProblem } from './spool.ts';
import type { SpoolRecovery } from './spool-events.ts';
import type { SpoolPost } from './spool-protocol.ts';
import { lockQueue } from './sqlite-database.ts';
import { problemOf } from './sqlite-errors.ts';
import { openSqliteStore } from './sqlite-store.ts';
import type { SpoolThreadOptions, ThreadNews, ThreadOrder } from './thread-protocol.ts';

const TICK = 1000;
const TICKS_PER_HOUSEKEEPING = 3600;
/** Free pages given back a second, where many are free. */
const SHRINK_PAGES = 512;

const clock: Clock = { now: () => Date.now() as Instant, monotonic: () => performance.now() };

type Opened = { readonly state: QueueState; readonly lock: Disposable; readonly recovery: SpoolRecovery };

/** Lock, file, recovery; or why not. */
function openQueue(options: SpoolThreadOptions): Opened | SpoolProblem {
  const lock = lockQueue(options.path);
  if (!lock.ok) return lock.error;
  const store = openSqliteStore(options.path);
  if (!store.ok) return store.error;
  try {
    prepareBodyFolders(options.bodies);
    const state = createQueueState({ store: store.value, bodies: bodyFilesIn(options.bodies), clock });
    const recovery = recoverQueue(state, (owned) => sweepBodies(options.bodies, owned));
    return { state, lock: lock.value, recovery };
  } catch (error) {
    return problemOf(error);
  }
}

/** Gives one client its place in the loop. */
function serve(loop: GroupCommit, port: MessagePort, id: number): void {
  const client = { id, post: (reply: object, transfer: readonly ArrayBuffer[]) => port.postMessage(reply, transfer) };
  port.on('message', (post: SpoolPost) => loop.receive(client, post));
  port.on('close', () => loop.leave(client));
  loop.join(client);
}

function run(options: SpoolThreadOptions, main: MessagePort): void {
  const tell = (news: ThreadNews): void => main.postMessage(news);
  const opened = openQueue(options);
  if (!('state' in opened)) {
    tell({ kind: 'refused', problem: opened });
    main.close();
    return;
  }
  const { state, lock } = opened;
  const onEvent = (event: Extract<ThreadNews, { kind: 'event' }>['event']): void => tell({ kind: 'event', event });
  const loop = createGroupCommit({ state, reopen: () => openSqliteStore(options.path), onEvent });
  let diskFreeBytes = options.diskFreeBytes;
  let ticks = 0;
  let clients = 0;
  const tick = (): void => {
    loop.tick(diskSpace(dirname(options.path), diskFreeBytes));
    ticks++;
    if (ticks % TICKS_PER_HOUSEKEEPING === 0) loop.keepHouse(forgetOld);
    loop.keepHouse(() => state.store.shrink(SHRINK_PAGES));
  };
  tick();
  const timer = setInterval(tick, TICK);
  const ports: MessagePort[] = [];
  main.on('message', (order: ThreadOrder) => {
    switch (order.kind) {
      case 'connect':
        ports.push(order.port);
        serve(loop, order.port, ++clients);
        break;
      case 'disk-free':
        diskFreeBytes = order.bytes;
        break;
      case 'close':
        clearInterval(timer);
        loop.close();
        for (const port of ports) port.close();
        state.store.close();
        lock[Symbol.dispose]();
        main.close();
        break;
    }
  });
  tell({ kind: 'ready', recovery: opened.recovery });
}

if (parentPort !== null) run(workerData as SpoolThreadOptions, parentPort);
