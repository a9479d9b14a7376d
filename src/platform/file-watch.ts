/**
 * Tells when files change, however they are replaced: orchestrators swap links, editors rename. Watches the folders, since a file
 * that was replaced is another file; looks by itself now and then, where the system does not tell.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Milliseconds } from '../domain/basics.ts';

/** Changes come in bursts: one call for each. */
const QUIET: Milliseconds = 500;
const LOOK_EVERY: Milliseconds = 30_000;

/** A watch; `follow` replaces the files looked at. */
export type FileWatch = Disposable & { follow(files: readonly string[]): void };

/** Calls back once after each burst of changes to any of the files. Keeps no process alive. */
export function watchFiles(files: readonly string[], onChange: () => void): FileWatch {
  let followed = files;
  let seen = fingerprint(followed);
  let watchers: FSWatcher[] = [];
  let quiet: NodeJS.Timeout | null = null;
  const look = (): void => {
    quiet = null;
    const now = fingerprint(followed);
    if (now === seen) return;
    seen = now;
    onChange();
  };
  const stir = (): void => {
    if (quiet !== null) clearTimeout(quiet);
    quiet = setTimeout(look, QUIET).unref();
  };
  const open = (): void => {
    watchers = [...new Set(followed.map(dirname))].flatMap((folder) => watchFolder(folder, stir));
  };
  const close = (): void => {
    for (const watcher of watchers) watcher.close();
  };
  open();
  const timer = setInterval(look, LOOK_EVERY).unref();
  return {
    follow: (next) => {
      close();
      followed = next;
      seen = fingerprint(next);
      open();
    },
    [Symbol.dispose]: () => {
      close();
      clearInterval(timer);
      if (quiet !== null) clearTimeout(quiet);
    },
  };
}

/** A folder that cannot be watched is only looked at now and then. */
function watchFolder(folder: string, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}

/** What tells one content of the files from another; a file that is missing has its own mark. */
const fingerprint = (files: readonly string[]): string =>
  files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
      return stat === undefined ? 'none' : `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
    })
    .join();
