/** One object for a component: record observations, follow policies, route requests. */

import { randomUUID } from 'node:crypto';

import type { Firestore } from '@google-cloud/firestore';

import { Cooldowns } from './cooldown.js';
import type { NewObservation } from './observation.js';
import { ActivePolicy, type FollowOptions } from './policy.js';
import { Recorder, type RecorderOptions, type RecorderReport } from './recorder.js';
import type { Outcome, Params } from './schema.js';
import { type FinishedSpan, type SpanOptions, observationOfSpan } from './span.js';

/** What a call says about its result. */
export type Facts = Pick<NewObservation, 'tokensIn' | 'tokensOut' | 'costUsd' | 'meta'> & {
  /** The default is `success`, for a call that returned. */
  readonly outcome?: Outcome;
  readonly errorCode?: string | number | undefined;
};

export interface RouteOptions<T> {
  /** The part of the component's name before the arm: `router` for `router:gpt-5`. */
  readonly component: string;
  /** A user or a session, which always gets the same version. The default is a new one per request. */
  readonly unit?: string;
  /** Whether the unit also keeps its arm, as for a prompt cache. */
  readonly sticky?: boolean;
  /** Tokens, costs and more, from the result of a call. */
  readonly facts?: (result: T) => Facts;
  /** How many arms a request may try. The default is 2. */
  readonly maxTries?: number;
}

export class Learning {
  readonly #db: Firestore;
  readonly #recorder: Recorder;
  readonly #cooldowns = new Cooldowns();
  readonly #policies: ActivePolicy[] = [];

  constructor(db: Firestore, options: RecorderOptions = {}) {
    this.#db = db;
    this.#recorder = new Recorder(db, options);
  }

  /** Queues an observation. It never throws, and resolves at once. */
  readonly recordObservation = async (observation: NewObservation): Promise<void> => {
    this.#recorder.record(observation);
  };

  /** Follows the active version of a policy until `close`. It never rejects. */
  async follow(id: string, options: FollowOptions = {}): Promise<ActivePolicy> {
    const policy = await ActivePolicy.follow(this.#db, id, options);
    this.#policies.push(policy);
    return policy;
  }

  get report(): RecorderReport {
    return this.#recorder.report;
  }

  /**
   * Serves a request: draws an arm by the policy, calls it, records what happened, and tries another arm
   * if `params.fallbackOn` lists the error. `params.cooldownAfter` such errors in a row leave the arm out for
   * `params.cooldownMs`.
   *
   * @throws what the last call threw, or an error if the policy has no arm.
   */
  async route<T>(
    policy: ActivePolicy,
    options: RouteOptions<T>,
    call: (arm: string, params: Params) => Promise<T>,
  ): Promise<T> {
    const unit = options.unit ?? randomUUID();
    const { params, policyVersion } = policy.choose(unit);
    const weights = params.modelWeights ?? {};
    const tried: string[] = [];
    let failure: unknown = new Error('cannot route: the policy has no arm with a weight above 0');
    while (tried.length < (options.maxTries ?? 2)) {
      const by = options.sticky ? { unit } : { u: Math.random() };
      const arm = this.#cooldowns.draw(weights, Date.now(), by, tried);
      if (!arm) break;
      const begun = performance.now();
      const record = (facts: Facts) =>
        this.#recorder.record({
          outcome: 'success',
          ...facts,
          component: `${options.component}:${arm.name}`,
          durationMs: performance.now() - begun,
          // What was not drawn by the weights must not be compared as if it had been.
          policyVersion: tried.length === 0 && arm.byWeights ? policyVersion : undefined,
        });
      try {
        const result = await call(arm.name, params);
        this.#cooldowns.succeeded(arm.name);
        record(factsOf(options, result));
        return result;
      } catch (error) {
        const { outcome, errorCode } = describeError(error);
        record({ outcome, errorCode });
        failure = error;
        const listed = params.fallbackOn ?? [];
        if (!listed.includes(errorCode) && !listed.includes(outcome)) {
          this.#cooldowns.succeeded(arm.name);
          break;
        }
        tried.push(arm.name);
        const { cooldownMs, cooldownAfter } = params;
        this.#cooldowns.failed(arm.name, cooldownMs ?? 0, cooldownAfter ?? 1, Date.now());
      }
    }
    throw failure;
  }

  /** A span processor for the OpenTelemetry SDK: each finished call of a model becomes an observation. */
  spanProcessor(options: SpanOptions = {}) {
    return {
      onStart: () => {},
      onEnd: (span: FinishedSpan) => {
        const observation = observationOfSpan(span, options);
        if (observation) this.#recorder.record(observation);
      },
      forceFlush: () => this.#recorder.flush(),
      shutdown: async () => {
        await this.#recorder.close();
      },
    };
  }

  /** Stops following, and writes what is queued. Call it before the process ends. */
  async close(): Promise<RecorderReport> {
    for (const policy of this.#policies) policy.close();
    return this.#recorder.close();
  }
}

/** A `facts` that throws must not fail the request. */
function factsOf<T>(options: RouteOptions<T>, result: T): Facts {
  try {
    return options.facts?.(result) ?? {};
  } catch {
    return {};
  }
}

/**
 * The outcome and the code of an error: `timeout` for time-outs of fetch, sockets, HTTP and gRPC,
 * `rate_limit` for HTTP 429 and its relatives, otherwise the error's own code, status or name.
 */
export function describeError(error: unknown): { outcome: Outcome; errorCode: string } {
  const { code, status, statusCode, name } = (error ?? {}) as Record<string, unknown>;
  const known = [code, status, statusCode, name].filter((it) => it !== undefined && it !== null);
  const isOne = (pattern: RegExp) => known.some((it) => pattern.test(String(it)));
  if (isOne(/time.?d?.?out|^(408|504|ABORT_ERR|AbortError|DEADLINE_EXCEEDED)$/i)) {
    return { outcome: 'timeout', errorCode: 'timeout' };
  }
  if (isOne(/^(429|rate.?limit.*|RESOURCE_EXHAUSTED)$/i)) {
    return { outcome: 'failure', errorCode: 'rate_limit' };
  }
  return { outcome: 'failure', errorCode: String(known[0] ?? 'error').slice(0, 200) };
}
