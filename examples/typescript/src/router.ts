/**
 * A router over models that follows the policy `router-core`. Start `f0-learning dev`, set the two
 * variables that it prints, and run: examples/typescript/run router --requests 200
 */

import { parseArgs } from 'node:util';

import { Firestore } from '@google-cloud/firestore';
import { Learning } from 'f0-learning';

import { callModel } from './models.js';

const { values } = parseArgs({ options: { requests: { type: 'string', default: '200' } } });
const db = new Firestore();
const learning = new Learning(db, { onError: (error) => console.error(`error: ${error.message}`) });
const policy = await learning.follow('router-core', { fallback: { modelWeights: { claude: 1 } } });

const served = new Map<string, number>();
for (let request = 0; request < Number(values.requests); request++) {
  const unit = `user-${Math.floor(request / 10)}`;
  const facts = ({ costUsd, tokensIn, tokensOut }: Awaited<ReturnType<typeof callModel>>) => ({
    costUsd, tokensIn, tokensOut,
  });
  try {
    const answer = await learning.route(policy, { component: 'router', unit, facts }, callModel);
    const name = `${policy.choose(unit).policyVersion} ${answer.model}`;
    served.set(name, (served.get(name) ?? 0) + 1);
  } catch {
    served.set('failed', (served.get('failed') ?? 0) + 1);
  }
}

const report = await learning.close();
for (const [name, count] of [...served].sort()) console.log(name, count);
console.log(`${report.written} observations written, ${report.failed} failed`);
await db.terminate();
