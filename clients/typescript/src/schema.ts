/**
 * The documents of Firestore that components write and read. Generated from docs/schema by
 * clients/generate; do not edit it.
 */

/**
 * How the action ended.
 */
export type Outcome = 'success' | 'failure' | 'timeout';

/**
 * An observation: what a component records about one action, as a document of `ops_observations`. A field that is null counts as absent, and other fields are ignored. An invalid `id`, `ts`, `component`, `outcome`, `sampleRate` or `propensity` rejects the document; any other invalid field costs only itself.
 */
export interface Observation {
  /**
   * Who acted, such as `AutoScaler`, or `router:gpt-5` for the arm `gpt-5` of a router: text of at most 400 bytes in UTF-8, not only blanks.
   */
  readonly component: string;
  readonly costUsd?: number | null;
  /**
   * At most seven days.
   */
  readonly durationMs: number;
  /**
   * Text of at most 1,500 bytes in UTF-8, or a number, such as HTTP's 429.
   */
  readonly errorCode?: (string | number) | null;
  /**
   * If present, the id of the document.
   */
  readonly id?: string | null;
  /**
   * Any value. The service ignores it.
   */
  readonly meta?: unknown;
  readonly outcome: Outcome;
  /**
   * `{id}@{version}` of the policy that the action used. The id must not have the form `__x__`. The id and the version have at most 200 bytes each.
   */
  readonly policyVersion?: string | null;
  /**
   * The probability of the arm that was used, if it was not drawn by the policy's weights. Its product with `sampleRate` must be at least the smallest sample rate.
   */
  readonly propensity?: number | null;
  /**
   * The probability with which such an observation is recorded. The default is 1, and `minSampleRate` of `config/scoring` (0.001) is the smallest rate that counts.
   */
  readonly sampleRate?: number | null;
  /**
   * Below `shards` of `config/scoring`.
   */
  readonly shard?: number | null;
  readonly tokensIn?: number | null;
  readonly tokensOut?: number | null;
  /**
   * When the action happened, in epoch milliseconds: from 2000 to 2100.
   */
  readonly ts: number;
}

/**
 * The status of a version. At most one version of a policy is active.
 */
export type PolicyStatus = 'draft' | 'active' | 'archived' | 'rejected';

/**
 * A version of a policy.
 */
export interface Policy {
  readonly activatedAt?: number | null;
  readonly activatedBy?: string | null;
  readonly archivedAt?: number | null;
  /**
   * In an active version: the draft that a share of the units uses instead.
   */
  readonly candidate?: Candidate | null;
  /**
   * Epoch milliseconds, like all times here.
   */
  readonly createdAt?: number;
  readonly createdBy?: string;
  /**
   * The evidence for the tuner's decision.
   */
  readonly evidence?: unknown;
  /**
   * Expected change of the mean reward of a request, in units of reward (0 to 1).
   */
  readonly expectedGain?: number | null;
  /**
   * The version that a share of the units stays on, while jobs publish versions by themselves.
   */
  readonly holdback?: Holdback | null;
  /**
   * It must not have the form `__x__`.
   */
  readonly id: string;
  readonly notes?: string | null;
  readonly params: Params;
  /**
   * The version that was active when this one was proposed or written.
   */
  readonly parentVersion?: string | null;
  readonly pinReason?: string | null;
  /**
   * The tuner does not change the policy. The flag is stored in the active version, and moves to the next active version.
   */
  readonly pinned?: boolean;
  readonly pinnedAt?: number | null;
  readonly pinnedBy?: string | null;
  /**
   * The version that this one replaced when it last became active.
   */
  readonly previousVersion?: string | null;
  readonly rejectedAt?: number | null;
  readonly rejectedBy?: string | null;
  /**
   * When it was rolled back because it was proven to be worse.
   */
  readonly rolledBackAt?: number | null;
  readonly status: PolicyStatus;
  /**
   * A semantic version with numbers of 64 bits, such as `1.0.2`.
   */
  readonly supersededBy?: string | null;
  /**
   * The effect of the version since it became active, once that is known.
   */
  readonly verdict?: unknown;
  /**
   * A semantic version with numbers of 64 bits, such as `1.0.2`.
   */
  readonly version: string;
  readonly [k: string]: unknown;
}
/**
 * A draft that a share of the units uses instead of the active version, with everything that a component needs to use it, so that the component reads only one document.
 */
export interface Candidate {
  /**
   * The experiment's id, which determines the units that use the candidate.
   */
  readonly experiment: string;
  readonly params: Params;
  /**
   * The share of units that use it, 0 to 1.
   */
  readonly share: number;
  /**
   * A semantic version with numbers of 64 bits, such as `1.0.2`.
   */
  readonly version: string;
}
/**
 * The parameters of a version. Components define them; these have a meaning to the service (`modelWeights`) and to the packages for components (the others).
 */
export interface Params {
  /**
   * After how many such errors in a row an arm is left out. The default is 1.
   */
  readonly cooldownAfter?: number | null;
  /**
   * How long an arm is left out after such errors, in milliseconds.
   */
  readonly cooldownMs?: number | null;
  /**
   * The errors after which a request is tried with another arm, such as `timeout`.
   */
  readonly fallbackOn?: readonly string[] | null;
  /**
   * The service tunes these. Absent in a policy that does not route over arms.
   */
  readonly modelWeights?: Weights | null;
  readonly [k: string]: unknown;
}
/**
 * The share of traffic of each arm: numbers from 0 to 1 that add up to 1.
 */
export interface Weights {
  readonly [k: string]: number;
}
/**
 * The version that a fixed share of the units uses whatever jobs publish, so that its effect can be compared with theirs.
 */
export interface Holdback {
  /**
   * It determines the units, in the same way as an experiment's id.
   */
  readonly id: string;
  readonly params: Params;
  /**
   * The share of units, 0 to 1.
   */
  readonly share: number;
  /**
   * A semantic version with numbers of 64 bits, such as `1.0.2`.
   */
  readonly version: string;
}
