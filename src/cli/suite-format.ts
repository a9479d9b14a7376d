/** What the listeners offer, for a partner's eyes: versions, suites by their IANA names in our order, groups. */
import { OFFERED_CIPHERS, OFFERED_GROUPS } from '../inbound/tls-offer-table.ts';

/** One suite. */
export type SuiteRow = { readonly iana: string; readonly openssl: string; readonly forwardSecrecy: boolean };
/** The offer of our listeners. */
export type TlsOffer = {
  readonly versions: readonly string[];
  readonly suites: readonly SuiteRow[];
  readonly groups: readonly string[];
};

/** `ECDHE-RSA-AES256-SHA384` → `TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384`; suites of TLS 1.3 are written alike in both. */
export function ianaName(openssl: string): string {
  if (openssl.startsWith('TLS_')) return openssl;
  const [, exchange = '', cipher = ''] = /^((?:ECDHE-(?:RSA|ECDSA)-)?)(.*)$/.exec(openssl) ?? [];
  const how = exchange === '' ? 'RSA' : exchange.slice(0, -1).replace('-', '_');
  if (cipher === 'CHACHA20-POLY1305') return `TLS_${how}_WITH_CHACHA20_POLY1305_SHA256`;
  const [block = '', ...rest] = cipher.split('-');
  const mode = rest[0] === 'GCM' ? rest : ['CBC', ...rest];
  return `TLS_${how}_WITH_${block.replace('AES', 'AES_')}_${mode.join('_')}`;
}

/** Those our keys can serve. `keyTypes`: `RSA`, `EC`. */
export function tlsOffer(minVersion: 'TLSv1.2' | 'TLSv1.3', keyTypes: readonly string[]): TlsOffer {
  const serves = (suite: string): boolean => {
    if (suite.startsWith('TLS_')) return true;
    if (minVersion === 'TLSv1.3') return false;
    return keyTypes.includes(suite.includes('ECDSA') ? 'EC' : 'RSA');
  };
  return {
    versions: minVersion === 'TLSv1.3' ? ['TLSv1.3'] : ['TLSv1.3', 'TLSv1.2'],
    suites: OFFERED_CIPHERS.split(':')
      .filter(serves)
      .map((openssl) => ({ iana: ianaName(openssl), openssl, forwardSecrecy: /^(TLS_|ECDHE)/.test(openssl) })),
    groups: OFFERED_GROUPS.split(':'),
  };
}
