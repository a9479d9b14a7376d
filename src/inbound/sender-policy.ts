/** Which reverse-paths someone who logged in may use. */
import type { ReversePath } from '../domain/address.ts';
import { matchesDomain } from '../domain/connector.ts';
import type { UserConfig } from '../domain/user.ts';

/** True where the user may send with this reverse-path. The null one is no one's address: only who may use any may use it. */
export function maySendAs({ senders }: Pick<UserConfig, 'senders'>, path: ReversePath): boolean {
  if (senders.length === 0) return true;
  return senders.some(({ localPart, domain }) => {
    if (path === null) return localPart === null && domain.kind === 'any';
    const same = localPart === null || localPart.toLowerCase() === path.localPart.toLowerCase();
    return same && matchesDomain(domain, path.domain);
  });
}
