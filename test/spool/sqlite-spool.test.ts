/** The contract every store keeps, on SQLite. */
import { checkLeaks } from '../support/leak-check.ts';
import { spoolContract } from './contract.ts';
import { tempQueue } from './temp-queue.ts';

checkLeaks();
spoolContract('sqlite', () => tempQueue());
