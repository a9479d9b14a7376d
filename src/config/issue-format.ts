/**
 * Problems of a configuration as operators and machines read them.
 */

/** One problem. A warning does not keep the relay from starting. */
export type ConfigIssue = {
  readonly severity: 'error' | 'warning';
  /** As the operator named it. */
  readonly file: string;
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
  /** `outbound[0].tls.mode`; empty where the problem is the document's. */
  readonly path: string;
  readonly message: string;
};

/** `file:line:col: path: what is wrong and what would be right`, one line. */
export function formatIssue({ severity, file, line, column, path, message }: ConfigIssue): string {
  const where = path === '' ? '' : `${path}: `;
  return `${file}:${line}:${column}: ${where}${severity === 'warning' ? 'warning: ' : ''}${message}`;
}
