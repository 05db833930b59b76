/** Observations from OpenTelemetry spans that follow the semantic conventions for GenAI clients. */

import type { NewObservation } from './observation.js';
import type { Outcome } from './schema.js';

/** What is needed of a finished span; `ReadableSpan` of the OpenTelemetry SDK has all of it. */
export interface FinishedSpan {
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Seconds and nanoseconds. */
  readonly startTime: readonly [number, number];
  readonly duration: readonly [number, number];
  /** `code` 2 means an error. */
  readonly status: { readonly code: number };
}

export interface SpanOptions {
  /** The component is `{prefix}:{model}`. The default is `router`. */
  readonly prefix?: string;
}

/** Attributes of our own, which a router may set on its span. */
export const POLICY_VERSION_ATTRIBUTE = 'f0.policy_version';
export const PROPENSITY_ATTRIBUTE = 'f0.propensity';
export const COST_ATTRIBUTE = 'f0.cost_usd';

/**
 * The observation of a span, or `undefined` if the span is not a call of a model: `gen_ai.request.model`
 * names the arm, `gen_ai.usage.input_tokens` and `gen_ai.usage.output_tokens` the tokens, and `error.type`
 * the error.
 */
export function observationOfSpan(
  span: FinishedSpan,
  options: SpanOptions = {},
): NewObservation | undefined {
  const { attributes } = span;
  const model = text(attributes['gen_ai.request.model']) ?? text(attributes['gen_ai.response.model']);
  if (model === undefined) return undefined;
  const errorCode = text(attributes['error.type']);
  const failed = errorCode !== undefined || span.status.code === 2;
  const outcome: Outcome = !failed ? 'success' : isTimeout(errorCode) ? 'timeout' : 'failure';
  return {
    component: `${options.prefix ?? 'router'}:${model}`,
    outcome,
    durationMs: millis(span.duration),
    ts: Math.floor(millis(span.startTime) + millis(span.duration)),
    tokensIn: number(attributes['gen_ai.usage.input_tokens']),
    tokensOut: number(attributes['gen_ai.usage.output_tokens']),
    costUsd: number(attributes[COST_ATTRIBUTE]),
    policyVersion: text(attributes[POLICY_VERSION_ATTRIBUTE]),
    propensity: number(attributes[PROPENSITY_ATTRIBUTE]),
    errorCode,
  };
}

function millis([seconds, nanos]: readonly [number, number]): number {
  return seconds * 1e3 + nanos / 1e6;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function isTimeout(errorType: string | undefined): boolean {
  return /time.?out|deadline|^(408|504)$/i.test(errorType ?? '');
}
