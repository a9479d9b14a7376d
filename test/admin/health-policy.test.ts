import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import { type FlowFacts, isStuck } from '../../src/admin/health-policy.ts';
import type { Instant } from '../../src/domain/basics.ts';

const HOUR = 3_600_000;
const at = (hours: number): Instant => (hours * HOUR) as Instant;
const rows: readonly [name: string, flow: FlowFacts, stuck: boolean][] = [
  ['nothing waits', { startedAt: at(0), lastDelivery: null, waiting: 0, oldest: at(1) }, false],
  ['the queue is empty', { startedAt: at(0), lastDelivery: null, waiting: 0, oldest: null }, false],
  ['mail has just come after a quiet night', { startedAt: at(0), lastDelivery: at(1), waiting: 1, oldest: at(9.9) }, false],
  ['old mail waits, but others are delivered', { startedAt: at(0), lastDelivery: at(9), waiting: 1, oldest: at(1) }, false],
  ['just started with an old queue', { startedAt: at(9), lastDelivery: null, waiting: 5, oldest: at(1) }, false],
  ['nothing moves', { startedAt: at(0), lastDelivery: at(8), waiting: 1, oldest: at(1) }, true],
  ['nothing ever moved', { startedAt: at(0), lastDelivery: null, waiting: 1, oldest: at(8) }, true],
];
for (const [name, flow, stuck] of rows)
  test(`${name} -> ${stuck ? 'red' : 'green'}`, () => assert.equal(isStuck(flow, at(10), 2 * HOUR), stuck));
