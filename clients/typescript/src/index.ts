export { Cooldowns, type Drawn } from './cooldown.js';
export { type Facts, Learning, type RouteOptions, describeError } from './learning.js';
export { type NewObservation, type Problem, problemsOf } from './observation.js';
export { ActivePolicy, Choice, type FollowOptions, choose } from './policy.js';
export { Recorder, type RecorderOptions, type RecorderReport } from './recorder.js';
export {
  type Arm, compareVersions, drawArm, drawArmOfUnit, sampleRateOf, shardOf,
  takesCandidate,
} from './rules.js';
export type {
  Candidate, Holdback, Observation, Outcome, Params, Policy, PolicyStatus, Weights,
} from './schema.js';
export {
  COST_ATTRIBUTE, type FinishedSpan, POLICY_VERSION_ATTRIBUTE, PROPENSITY_ATTRIBUTE, type SpanOptions,
  observationOfSpan,
} from './span.js';
