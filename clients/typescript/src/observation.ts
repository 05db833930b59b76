/** Observations as components write them, and the checks of their fields. */

import { MIN_PROPENSITY, MIN_SAMPLE_RATE } from './rules.js';
import type { Observation } from './schema.js';

/**
 * An observation to record. The default of `ts` is now, that of `id` a random UUID; a field that is
 * `undefined` is left out. Set `sampleRate` only if you sample by yourself; the recorder then keeps the
 * observation. `docs/integration.md` explains each field.
 */
export type NewObservation = {
  -readonly [Field in 'component' | 'outcome' | 'durationMs']: Observation[Field];
} & { -readonly [Field in keyof Observation]?: Observation[Field] | undefined };

const OUTCOMES: readonly unknown[] = ['success', 'failure', 'timeout'];
const MIN_TS = Date.UTC(2000, 0, 1);
const MAX_TS = Date.UTC(2100, 0, 1);
const MAX_DURATION_MS = 604_800_000;
const MAX_COST_USD = 1_000_000;
const MAX_TOKENS = 1e12;
const MAX_COMPONENT_BYTES = 400;
const MAX_ERROR_CODE_BYTES = 1_500;
const POLICY_VERSION = /^[^@/]+@\d+\.\d+\.\d+/u;

/** What is wrong with a field, and whether the service could not count the observation. */
export interface Problem {
  readonly field: string;
  readonly message: string;
  /** The service would put the observation into quarantine instead of scoring it. */
  readonly rejects: boolean;
}

/** The fields that the service could not use. */
export function problemsOf(observation: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  const add = (field: string, expected: string, rejects: boolean) => {
    const got = String(observation[field]).slice(0, 100);
    problems.push({ field, message: `invalid ${field}: expected ${expected}, got ${got}`, rejects });
  };
  const number = (field: string, min: number, max: number, rejects: boolean, whole = false) => {
    const value = observation[field];
    if (value === undefined || value === null) return;
    const fits = typeof value === 'number' && value >= min && value <= max;
    if (!fits || (whole && !Number.isInteger(value))) {
      add(field, `a ${whole ? 'whole ' : ''}number from ${min} to ${max}`, rejects);
    }
  };
  const { component, outcome, durationMs, errorCode, policyVersion } = observation;
  const bytes = typeof component === 'string' ? Buffer.byteLength(component) : 0;
  if (bytes < 1 || bytes > MAX_COMPONENT_BYTES || /\p{Cc}/u.test(component as string)) {
    add('component', `text of 1 to ${MAX_COMPONENT_BYTES} bytes without control characters`, true);
  }
  if (!OUTCOMES.includes(outcome)) add('outcome', 'success, failure or timeout', true);
  if (durationMs === undefined || durationMs === null) add('durationMs', 'a number', false);
  number('durationMs', 0, MAX_DURATION_MS, false);
  number('ts', MIN_TS, MAX_TS, true, true);
  number('tokensIn', 0, MAX_TOKENS, false, true);
  number('tokensOut', 0, MAX_TOKENS, false, true);
  number('costUsd', 0, MAX_COST_USD, false);
  number('sampleRate', MIN_SAMPLE_RATE, 1, true);
  number('propensity', MIN_PROPENSITY, 1, true);
  number('shard', 0, 999, false, true);
  if (errorCode !== undefined && errorCode !== null) {
    const isText = typeof errorCode === 'string' && Buffer.byteLength(errorCode) <= MAX_ERROR_CODE_BYTES;
    if (!isText && typeof errorCode !== 'number') {
      add('errorCode', `a number, or text of at most ${MAX_ERROR_CODE_BYTES} bytes`, false);
    }
  }
  if (policyVersion !== undefined && policyVersion !== null) {
    if (typeof policyVersion !== 'string' || !POLICY_VERSION.test(policyVersion)) {
      add('policyVersion', '{id}@{version}, such as router-core@1.0.0', false);
    }
  }
  return problems;
}
