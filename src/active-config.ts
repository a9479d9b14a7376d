/**
 * A configuration with everything it names loaded, ready to be served; and the way to the next one: read, compile, load, and only
 * then swap. Any problem leaves the old one active (architecture: parse → check → provision → swap → drain).
 */

import { formatIssue } from './config/issue-format.ts';
import { type Loaded, loadConfig, thisMachine } from './config/load-config.ts';
import { needsRestart } from './config/reload-policy.ts';
import { judgeExpectations } from './delivery/expectation-policy.ts';
import { err, type Instant, ok, type Result } from './domain/basics.ts';
import { type CertificateLoad, loadCertificates } from './platform/certificates.ts';
import { loadMaterials } from './platform/tls-materials.ts';
import type { PostedSnapshot } from './relay-protocol.ts';

/** What is served now. */
export type ActiveConfig = { readonly loaded: Loaded; readonly certificates: CertificateLoad; readonly snapshot: PostedSnapshot };

/** Why a configuration cannot be served, one line each. */
export type Rejection = readonly string[];

/** Loads what the configuration names. `ticketKeys` stay the same for as long as the relay runs, so that returning clients resume. */
export function provision(loaded: Loaded, ticketKeys: Uint8Array, now: Instant): Result<ActiveConfig, Rejection> {
  const { config } = loaded;
  const certificates = loadCertificates(config, now);
  const errors = certificates.problems
    .filter(({ severity }) => severity === 'error')
    .map(({ file, wrong, right }) => `${file} ${wrong}; ${right}`);
  const materials = loadMaterials(config);
  if (errors.length > 0 || !materials.ok)
    return err([...errors, ...(materials.ok ? [] : materials.error.map(({ file, text }) => `${file} ${text}`))]);
  const listener = { pairs: certificates.pairs, minVersion: config.tls.minVersion, ticketKeys };
  return ok({ loaded, certificates, snapshot: { config, certificates: listener, materials: materials.value } });
}

/** Reads the configuration file again. */
export function provisionNext(active: ActiveConfig, now: Instant): Result<ActiveConfig, Rejection> {
  const { file, config } = active.loaded;
  const loaded = loadConfig({ file, environment: process.env, machine: thisMachine(), judge: judgeExpectations });
  if (!loaded.ok) return err(loaded.error.map(formatIssue));
  const restart = needsRestart(config, loaded.value.config);
  if (restart.length > 0) return err([`${file}: ${restart.join(', ')} cannot change while the relay runs: stop and start it`]);
  return provision(loaded.value, active.snapshot.certificates.ticketKeys, now);
}
