/**
 * Looks up what DANE needs to know of a host, one question after another, only those whose answers matter. dane-policy.ts judges.
 */
import type { Resolver } from '../dns/resolver.ts';
import { type DaneAnswers, type DaneHost, type DaneStatus, judgeDane, NOTHING_ASKED, nextQuestion } from './dane-policy.ts';

/**
 * Whether and how the host is held to DANE. At most three lookups, from the resolver's cache where it knows. Never rejects; an
 * abort makes it 'undetermined'. `nextQuestion(host, NOTHING_ASKED) === null` says beforehand that no lookup will be needed.
 */
export async function gatherDane(
  host: DaneHost,
  resolver: Pick<Resolver, 'tlsa' | 'cname'>,
  signal: AbortSignal,
): Promise<DaneStatus> {
  let answers: DaneAnswers = NOTHING_ASKED;
  for (;;) {
    const question = nextQuestion(host, answers);
    if (question === null) return judgeDane(host, answers);
    if (question.type === 'cname') answers = { ...answers, alias: await resolver.cname(question.name, signal) };
    else {
      const { base, name } = question;
      answers = { ...answers, tlsa: [...answers.tlsa, { base, answer: await resolver.tlsa(name, signal) }] };
    }
  }
}
