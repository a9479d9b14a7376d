/**
 * Words of the queue: what lies in it, who holds it, how a recipient's state changes (architecture.md, section 4).
 */
import type { Domain } from './address.ts';
import type { Instant, NonEmpty } from './basics.ts';
import type { Envelope, QueueId, Recipient, Recipients } from './envelope.ts';
import type { DeliveryFailure } from './outcome.ts';

/** States a stored recipient can be in. Delivered, bounced and expired recipients are no longer stored. */
export type RecipientState = 'queued' | 'leased' | 'held';

/**
 * A body in wire form: trace header first, CRLF line ends, dot-stuffed as received (RFC 5321, section 4.5.2), ending in CRLF,
 * without the final `.`: what goes to the next hop goes as it lies here, byte for byte.
 */
export type Body =
  | { readonly kind: 'memory'; readonly wire: Uint8Array }
  | { readonly kind: 'file'; readonly path: string; readonly wireBytes: number };

/** A message to be stored. */
export type NewMessage = { readonly envelope: Envelope; readonly recipients: Recipients; readonly body: Body };

/** One recipient under a claim. */
export type ClaimedRecipient = {
  /** Place in the message's recipient list: its name within the message. */
  readonly number: number;
  readonly recipient: Recipient;
  /** Attempts so far, this one included. */
  readonly attempts: number;
  /** A delay notice has been sent. */
  readonly delayNoticeSent: boolean;
};

/**
 * The right to make one attempt at the recipients of one message in one domain, until the lease ends.
 * A later claim carries a higher fence; what an outrun owner settles is refused.
 */
export type Claim = {
  readonly queueId: QueueId;
  readonly domain: Domain;
  readonly fence: number;
  readonly leaseUntil: Instant;
  readonly envelope: Envelope;
  readonly recipients: NonEmpty<ClaimedRecipient>;
  readonly body: Body;
  /** Handed out though its destination is down, for its attention time has come. Must end in a settlement, or it comes again at once. */
  readonly attention?: boolean;
};

/** What becomes of one claimed recipient. Made by retry-policy.ts only. */
export type RecipientSettlement =
  | { readonly number: number; readonly becomes: 'delivered' }
  | {
      readonly number: number;
      readonly becomes: 'queued';
      readonly due: Instant;
      /** When it must be looked at even if its destination is down: its delay notice falls due, or it expires. */
      readonly attention: Instant;
      readonly failure: DeliveryFailure;
      readonly delayNoticeSent: boolean;
    }
  | { readonly number: number; readonly becomes: 'expired'; readonly failure: DeliveryFailure }
  | { readonly number: number; readonly becomes: 'bounced'; readonly failure: DeliveryFailure };

/** The end of a claim: every claimed recipient's fate, and the notices that go into the queue in the same transaction. */
export type Settlement = {
  readonly queueId: QueueId;
  readonly domain: Domain;
  readonly fence: number;
  /** Connector this attempt used, for `queue list`. */
  readonly connector: string | null;
  readonly recipients: NonEmpty<RecipientSettlement>;
  readonly notices: readonly NewMessage[];
  /** No attempt was made: the one counted with the claim is taken off again. */
  readonly untried?: boolean;
};

/** A destination that cannot be reached is retried, not its messages: nothing for it falls due before `until`. */
export type DestinationDown = { readonly domain: Domain; readonly until: Instant };

/** One recipient as `queue list` and the API show it. */
export type QueueEntry = {
  readonly queueId: QueueId;
  readonly number: number;
  readonly reversePath: string;
  readonly recipient: string;
  readonly domain: Domain;
  readonly state: RecipientState;
  readonly attempts: number;
  readonly due: Instant;
  readonly receivedAt: Instant;
  readonly sizeBytes: number;
  /** Connector of the last attempt, null before the first. */
  readonly connector: string | null;
  readonly lastFailure: DeliveryFailure | null;
};

/** Which entries an operator means. Every given field must hold; `queueIds` and the others may be combined. */
export type QueueFilter = {
  readonly queueIds?: readonly QueueId[];
  readonly domain?: Domain;
  readonly connector?: string;
  readonly state?: RecipientState;
  readonly from?: string;
};

/** What an operator can do to queued recipients. `bounce` sends the sender a failure notice, `remove` tells no one. */
export type QueueAction = 'retry' | 'hold' | 'release' | 'remove' | 'bounce';

/** Numbers of the whole queue. */
export type QueueStats = {
  readonly messages: number;
  readonly bytes: number;
  readonly recipients: Readonly<Record<RecipientState, number>>;
  readonly oldest: Instant | null;
  readonly domains: readonly { readonly domain: Domain; readonly recipients: number; readonly oldest: Instant }[];
};
