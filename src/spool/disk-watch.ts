/** How much room the queue's file system has left for us. */
import { statfsSync } from 'node:fs';

/** Free octets, and whether that is below the limit. What cannot be asked counts as none: no mail is taken on hope. */
export function diskSpace(folder: string, limitBytes: number): { readonly freeBytes: number; readonly low: boolean } {
  try {
    const { bavail, bsize } = statfsSync(folder);
    const freeBytes = bavail * bsize;
    return { freeBytes, low: freeBytes < limitBytes };
  } catch {
    return { freeBytes: 0, low: true };
  }
}
