import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import {
  Cooldowns, type Outcome, type Policy, type Weights, choose, drawArm, drawArmOfUnit, sampleRateOf, shardOf,
  takesCandidate,
} from '../src/index.js';

interface Step {
  failed?: string; succeeded?: string; cooldownMs: number; cooldownAfter: number; now: number;
  draw: { u: number } | { unit: string }; without: string[]; arm: string | null; byWeights: boolean | null;
}
interface Vectors {
  units: { weights: Weights; unit: string; arm: string | null }[];
  draws: { weights: Weights; u: number; arm: string | null }[];
  shares: { experiment: string; unit: string; share: number; taken: boolean }[];
  choices: { policy: Policy; cases: { unit: string; policyVersion: string; isCandidate: boolean }[] };
  sampling: { outcome: Outcome; successRate: number; u: number; sampleRate: number | null }[];
  shards: { id: string; shards: number; shard: number }[];
  cooldowns: { weights: Weights; steps: Step[] };
}

const path = new URL('../../../vectors.json', import.meta.url);
const vectors = JSON.parse(readFileSync(path, 'utf8')) as Vectors;

test('units get the arms of the vectors', () => {
  assert.ok(vectors.units.length > 0);
  for (const it of vectors.units) {
    assert.equal(drawArmOfUnit(it.weights, it.unit)?.name ?? null, it.arm, JSON.stringify(it));
  }
});

test('draws select the arms of the vectors', () => {
  for (const it of vectors.draws) {
    assert.equal(drawArm(it.weights, it.u)?.name ?? null, it.arm, JSON.stringify(it));
  }
});

test('experiments take the units of the vectors', () => {
  for (const it of vectors.shares) {
    assert.equal(takesCandidate(it.experiment, it.unit, it.share), it.taken, JSON.stringify(it));
  }
});

test('the holdback comes before the candidate, and the candidate before the active version', () => {
  const { policy, cases } = vectors.choices;
  assert.equal(new Set(cases.map((it) => it.policyVersion)).size, 3);
  for (const it of cases) {
    const { policyVersion, isCandidate } = choose(policy, it.unit);
    assert.deepEqual({ unit: it.unit, policyVersion, isCandidate }, it);
  }
});

test('sampling keeps what the vectors keep', () => {
  for (const it of vectors.sampling) {
    assert.equal(sampleRateOf(it.outcome, it.successRate, it.u) ?? null, it.sampleRate, JSON.stringify(it));
  }
});

test('ids belong to the shards of the vectors', () => {
  for (const it of vectors.shards) assert.equal(shardOf(it.id, it.shards), it.shard, it.id);
});

test('arms cool down as in the vectors', () => {
  const { weights, steps } = vectors.cooldowns;
  const cooldowns = new Cooldowns();
  for (const step of steps) {
    if (step.succeeded !== undefined) {
      cooldowns.succeeded(step.succeeded);
      continue;
    }
    if (step.failed !== undefined) {
      cooldowns.failed(step.failed, step.cooldownMs, step.cooldownAfter, step.now);
      continue;
    }
    const drawn = cooldowns.draw(weights, step.now, step.draw, step.without);
    const { arm, byWeights } = step;
    assert.deepEqual([drawn?.name ?? null, drawn?.byWeights ?? null], [arm, byWeights], JSON.stringify(step));
  }
});
