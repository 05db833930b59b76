/**
 * A canary manager: raises the share of a new release step by step, and stops at the first breach of
 * its objectives. It records each decision. Run: examples/typescript/run canary
 */

import { Firestore } from '@google-cloud/firestore';
import { Learning } from 'f0-learning';

const db = new Firestore();
const learning = new Learning(db);
const fallback = { steps: [1, 5, 25, 50, 100], maxErrorRate: 0.02, maxP95Ms: 800 };
const policy = await learning.follow('canary-core', { fallback });

for (const errorRate of [0.004, 0.035]) {
  for (const rolloutPercent of policy.choose('checkout').params.steps as number[]) {
    const { params, policyVersion } = policy.choose('checkout');
    const begun = performance.now();
    // What the monitoring of a real release would answer.
    const slo = { errorRate: rolloutPercent < 25 ? 0.003 : errorRate, p95ms: 420 };
    const breach = slo.errorRate > Number(params.maxErrorRate) || slo.p95ms > Number(params.maxP95Ms);
    const decision = breach ? 'roll back' : 'go on';
    await learning.recordObservation({
      component: 'CanaryManager',
      durationMs: performance.now() - begun,
      outcome: breach ? 'failure' : 'success',
      policyVersion,
      meta: { rolloutPercent, decision, slo },
    });
    console.log(`${rolloutPercent}%: ${decision}`);
    if (breach) break;
  }
}

const report = await learning.close();
console.log(`${report.written} observations written, ${report.failed} failed`);
await db.terminate();
