/**
 * What an enhanced status code means for people: who can put it right, and how. RFC 3463, the IANA registry of enhanced
 * status codes, and the numbers that Exchange Online made common.
 */
import type { DeliveryFailure } from '../domain/outcome.ts';

/** Who can do something about it. */
export type Owner = 'sender' | 'recipient' | 'relay';

/** What to tell the sender; one or two plain sentences. */
export type Advice = { readonly owner: Owner; readonly remedy: string };

const sender = (remedy: string): Advice => ({ owner: 'sender', remedy });
const recipient = (remedy: string): Advice => ({ owner: 'recipient', remedy });
const relay = (remedy: string): Advice => ({ owner: 'relay', remedy });

const CHECK_ADDRESS = sender(
  'Check the address for typing errors, or ask the recipient for the right one, and send the message again.',
);
const THEIR_SERVER = recipient(
  'The mail server of the recipient could not be reached or did not take the message. Their administrator should look at the server named above and at the MX records of the domain.',
);
const OUR_RULES = relay(
  'Show this notice to the administrator of this relay: the way mail takes to this domain, or what it must satisfy, is set up there.',
);
const THEIR_TLS = recipient(
  'The message may only travel over a connection with the protection asked for, and the server did not offer it. Their administrator should put TLS and the certificate of that server in order.',
);
const THEIR_POLICY = recipient(
  'The server refused the message by its own rules. Contact the recipient in another way; their administrator can tell why and can allow it.',
);
const OUR_REPUTATION = relay(
  'The receiving server does not accept the proof of origin of our mail. The administrator of this relay should look at SPF, DKIM, DMARC and the reverse DNS of the address it sends from.',
);
const CONTENT = sender(
  'The server does not take this kind of content. Change the message (attachments, format) or share it in another way.',
);

/** By `subject.detail`. */
const BY_DETAIL: Readonly<Record<string, Advice>> = {
  '1.0': CHECK_ADDRESS,
  '1.1': CHECK_ADDRESS,
  '1.2': sender('The domain after the @ cannot receive mail. Check it for typing errors.'),
  '1.3': CHECK_ADDRESS,
  '1.6': sender('The mailbox has moved. Ask the recipient for the new address.'),
  '1.7': sender('The receiving server does not accept your own address. Check the sender address in your mail program.'),
  '1.8': relay(
    'The receiving server does not accept the domain of the sender address. The administrator of that domain should check its DNS records.',
  ),
  '1.10': sender('The domain says that it takes no mail at all. Check the address, or reach the recipient in another way.'),
  '2.0': recipient('There is a problem with the mailbox. Only the recipient or their administrator can solve it.'),
  '2.1': recipient('The mailbox is switched off or not taking mail. Reach the recipient in another way.'),
  '2.2': recipient('The mailbox is full. Ask the recipient in another way to make room, then send the message again.'),
  '2.3': sender('The message is larger than this mailbox takes. Make it smaller or share large files in another way.'),
  '3.4': sender('The message is larger than the server takes. Make it smaller or share large files in another way.'),
  '4.6': relay(
    'The message went round in circles. The administrators of this relay and of the recipient should compare their routes and MX records.',
  ),
  '4.8': THEIR_TLS,
  '4.14': relay(
    'The message went round in circles. The administrators of this relay and of the recipient should compare their routes and MX records.',
  ),
  '4.317': THEIR_TLS,
  '6.7': sender(
    'The address or header uses letters that the receiving server cannot carry. Use an address in plain ASCII letters, if there is one.',
  ),
  '7.1': THEIR_POLICY,
  '7.5': THEIR_TLS,
  '7.10': THEIR_TLS,
  '7.20': OUR_REPUTATION,
  '7.21': OUR_REPUTATION,
  '7.22': OUR_REPUTATION,
  '7.23': OUR_REPUTATION,
  '7.24': OUR_REPUTATION,
  '7.25': OUR_REPUTATION,
  '7.26': OUR_REPUTATION,
  '7.27': OUR_REPUTATION,
  '7.29': OUR_REPUTATION,
  '7.30': sender(
    'You asked for protected transport all the way (REQUIRETLS), and a server on the way does not offer it. Send without this demand, or have the administrator of the recipient add it.',
  ),
  '7.320': THEIR_TLS,
  '7.321': THEIR_TLS,
  '7.322': THEIR_TLS,
  '7.323': THEIR_TLS,
  '7.324': recipient(
    'The DNS data of the domain cannot be trusted (DNSSEC). Their administrator should have the zone and its signatures checked.',
  ),
  '7.325': THEIR_TLS,
  '7.509': OUR_REPUTATION,
};

/** By subject, where the detail is not in the table above. */
const BY_SUBJECT: Readonly<Record<string, Advice>> = {
  '0': recipient('The server gave no clear reason. What it said is quoted above; their administrator can tell more.'),
  '1': CHECK_ADDRESS,
  '2': recipient('There is a problem with the mailbox. Only the recipient or their administrator can solve it.'),
  '3': THEIR_SERVER,
  '4': THEIR_SERVER,
  '5': relay('The two servers did not understand each other. Show this notice to the administrator of this relay.'),
  '6': CONTENT,
  '7': THEIR_POLICY,
};

/** What to tell the sender about a failure. The class of the code (4, 5) does not matter. */
export function adviceFor(failure: DeliveryFailure): Advice {
  const [, subject = '0', detail = '0'] = failure.enhanced.split('.');
  const ours = failure.reply === null && failure.ip === null;
  if (ours && subject === '7' && detail === '1') return OUR_RULES;
  return BY_DETAIL[`${subject}.${detail}`] ?? BY_SUBJECT[subject] ?? OUR_RULES;
}
