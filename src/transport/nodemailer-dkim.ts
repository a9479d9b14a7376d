/** Signs messages made here with nodemailer's DKIM: rsa-sha256, relaxed/relaxed, the whole body (no `l=`). RFC 6376. */
import { createPrivateKey } from 'node:crypto';
import { text } from 'node:stream/consumers';
import DKIM from 'nodemailer/lib/dkim';
import { err, ok, type Result } from '../domain/basics.ts';
import { dkimKeyProblem } from '../platform/dkim-key-policy.ts';

/** Who signs. */
export type DkimSigner = {
  readonly domain: string;
  readonly selector: string;
  /** PEM of an RSA key. Never logged. */
  readonly key: string;
  /** Header fields to cover, where they are there. */
  readonly fields: readonly string[];
};

/** The message with a DKIM-Signature before it; the message has CRLF line ends and is not dot-stuffed. The error says why not. */
export async function signMessage(
  message: string,
  { domain, selector, key, fields }: DkimSigner,
): Promise<Result<string, string>> {
  const problem = dkimKeyProblem(key);
  if (problem !== null) return err(problem);
  const dkim = new DKIM({
    domainName: domain,
    keySelector: selector,
    privateKey: createPrivateKey(key),
    headerFieldNames: fields.join(':'),
  });
  const signed = await text(dkim.sign(message));
  // nodemailer passes on unsigned what it cannot sign.
  return signed.startsWith('DKIM-Signature:') ? ok(signed) : err('could not sign');
}
