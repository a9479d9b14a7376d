/**
 * The files a configuration names, each with its place in the document, so that what is wrong with a file is said where it is named.
 */
import type { Config } from '../domain/config.ts';
import type { CertificateFiles } from '../domain/connector.ts';
import type { Path } from './path-format.ts';

/** A file and where the document names it. */
export type NamedFile = { readonly path: Path; readonly file: string };

/** Certificates and keys shown to clients. */
export const listenerFiles = ({ certificates }: Pick<Config, 'certificates'>): readonly NamedFile[] =>
  certificates.flatMap((files, index) => pair(files, ['certificates', index]));

/** Trust anchors and client certificates of deliveries, those of connectors that are disabled included. */
export const outboundFiles = ({ tls, outbound }: Pick<Config, 'tls' | 'outbound'>): readonly NamedFile[] => [
  ...tls.trust.files.map((file) => ({ path: ['tls', 'trust'], file })),
  ...pair(tls.clientCertificate, ['tls', 'clientCertificate']),
  ...outbound.flatMap((connector, index) => {
    const path: Path = ['outbound', index, 'tls'];
    const { ca, clientCertificate } = connector.tls;
    return [
      ...(ca === null ? [] : [{ path: [...path, 'ca'], file: ca }]),
      ...pair(clientCertificate, [...path, 'clientCertificate']),
    ];
  }),
];

const pair = (files: CertificateFiles | null, path: Path): readonly NamedFile[] =>
  files === null ? [] : (['cert', 'key'] as const).map((kind) => ({ path: [...path, kind], file: files[kind] }));
