/**
 * The rules that every language shares. `clients/vectors.json` has examples that the packages for
 * Rust, TypeScript and Python all pass.
 */

import { createHash } from 'node:crypto';

import type { Outcome, Weights } from './schema.js';

export type { Outcome, Weights };

/** An arm and the probability with which it was drawn. */
export interface Arm {
  readonly name: string;
  readonly weight: number;
}

/** The smallest rate and the smallest propensity that the service accepts. */
export const MIN_SAMPLE_RATE = 1e-6;
export const MIN_PROPENSITY = 1e-3;

function sha256(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

/** The arms with a weight above 0, in the order of the bytes of their names in UTF-8. */
export function usedArms(weights: Weights): Arm[] {
  return Object.entries(weights)
    .filter(([, weight]) => weight > 0)
    .map(([name, weight]) => ({ name, weight }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}

/**
 * The arm that `u`, uniform in [0, 1), selects: the first at which the sum of the weights exceeds `u`.
 * `undefined` if no weight is above 0.
 */
export function drawArm(weights: Weights, u: number): Arm | undefined {
  const arms = usedArms(weights);
  let left = u;
  for (const arm of arms) {
    left -= arm.weight;
    if (left < 0) return arm;
  }
  return arms.at(-1);
}

/**
 * The arm of a unit (a user, a session), which it keeps as long as the weights allow: weighted
 * rendezvous hashing over the SHA-256 of `{unit}:{arm}`.
 */
export function drawArmOfUnit(weights: Weights, unit: string): Arm | undefined {
  let best: Arm | undefined;
  let lowest = Infinity;
  for (const arm of usedArms(weights)) {
    const number = Number(sha256(`${unit}:${arm.name}`).readBigUInt64BE(0) >> 11n);
    const score = -Math.log((number + 0.5) / 2 ** 53) / arm.weight;
    if (score < lowest) {
      best = arm;
      lowest = score;
    }
  }
  return best;
}

/** Whether a unit belongs to the `share` (0 to 1) of units of an experiment or a holdback. */
export function takesCandidate(experiment: string, unit: string, share: number): boolean {
  return sha256(`${experiment}:${unit}`).readUInt32BE(0) / 2 ** 32 < share;
}

/**
 * The sample rate to record with an observation, or `undefined` to leave the observation out. Failures
 * and timeouts are always kept. `u` is uniform in [0, 1).
 */
export function sampleRateOf(outcome: Outcome, successRate: number, u: number): number | undefined {
  if (outcome !== 'success' || successRate >= 1) return 1;
  if (!(successRate > 0)) return undefined;
  const rate = Math.max(successRate, MIN_SAMPLE_RATE);
  return u < rate ? rate : undefined;
}

/** The shard of an observation: the FNV-1a hash of its id with 32 bits, modulo the number of shards. */
export function shardOf(id: string, shards: number): number | undefined {
  if (!(shards > 0)) return undefined;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % shards;
}

/** Compares versions by number, such as `1.2.10` and `1.2.9`; text after the numbers is ignored. */
export function compareVersions(a: string, b: string): number {
  const numbers = (text: string) => text.split('.', 3).map((part) => Number.parseInt(part, 10) || 0);
  const [left, right] = [numbers(a), numbers(b)];
  for (let part = 0; part < 3; part++) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
