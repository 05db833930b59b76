/** Records observations without ever holding up or failing the request that they are about. */

import { randomUUID } from 'node:crypto';

import type { BulkWriter, Firestore } from '@google-cloud/firestore';

import { type NewObservation, problemsOf } from './observation.js';
import { sampleRateOf, shardOf } from './rules.js';

export interface RecorderOptions {
  /**
   * The share of successes that is kept, 0 to 1. The default is 1. Below 1, also set `minSampleRate` in
   * `config/tuning`. Failures and timeouts are always kept.
   */
  readonly successRate?: number;
  /** The most observations in memory. The default is 10,000; further ones are dropped and counted. */
  readonly maxQueued?: number;
  /** The most bytes of observations in memory, as JSON. The default is 16 MiB. */
  readonly maxQueuedBytes?: number;
  /** How long an observation waits for others of its batch, in milliseconds. The default is 1,000. */
  readonly lingerMs?: number;
  /** `shards` of `config/scoring`, if observations are sharded. */
  readonly shards?: number;
  /** Called when an observation is invalid, was dropped or could not be written. */
  readonly onError?: (error: Error) => void;
}

/** How many observations had which outcome. */
export interface RecorderReport {
  readonly written: number;
  readonly sampledOut: number;
  /** The queue was full, or the recorder was closed. */
  readonly dropped: number;
  /** A field that the service cannot do without is invalid; nothing was written. */
  readonly invalid: number;
  /** Firestore refused the observation, or could not be reached for too long. */
  readonly failed: number;
}

const ALREADY_EXISTS = 6;

export class Recorder {
  readonly #db: Firestore;
  readonly #options: RecorderOptions;
  #writer: BulkWriter | undefined;
  #timer: NodeJS.Timeout | undefined;
  #queued = 0;
  #queuedBytes = 0;
  #closed = false;
  readonly #report = { written: 0, sampledOut: 0, dropped: 0, invalid: 0, failed: 0 };

  constructor(db: Firestore, options: RecorderOptions = {}) {
    this.#db = db;
    this.#options = options;
  }

  /** The outcomes up to now. Observations that are still queued have none. */
  get report(): RecorderReport {
    return { ...this.#report };
  }

  /** Queues an observation, and returns whether it was queued. It never throws. */
  record(observation: NewObservation): boolean {
    try {
      return this.#queue(observation);
    } catch (error) {
      this.#report.invalid += 1;
      this.#tell(error);
      return false;
    }
  }

  /** Writes what is queued. It never rejects. */
  async flush(): Promise<void> {
    await this.#finish((writer) => writer.flush());
  }

  /** Accepts no more observations, and writes the queued ones. It never rejects. */
  async close(): Promise<RecorderReport> {
    this.#closed = true;
    await this.#finish((writer) => writer.close());
    this.#writer = undefined;
    return this.report;
  }

  async #finish(write: (writer: BulkWriter) => Promise<void>): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      if (this.#writer) await write(this.#writer);
    } catch (error) {
      this.#tell(error);
    }
  }

  #queue(observation: NewObservation): boolean {
    if (this.#closed) return this.#drop('the recorder is closed');
    const problems = problemsOf(observation as unknown as Record<string, unknown>);
    if (problems.some((problem) => problem.rejects)) {
      this.#report.invalid += 1;
    }
    for (const { message } of problems) this.#tell(new Error(message));
    if (problems.some((problem) => problem.rejects)) return false;

    let { sampleRate } = observation;
    if (sampleRate === undefined || sampleRate === null) {
      const rate = sampleRateOf(observation.outcome, this.#options.successRate ?? 1, Math.random());
      if (rate === undefined) {
        this.#report.sampledOut += 1;
        return false;
      }
      sampleRate = rate < 1 ? rate : undefined;
    }
    const id = observation.id ?? randomUUID();
    const shard = observation.shard ?? shardOf(id, this.#options.shards ?? 0);
    // JSON drops what Firestore refuses: undefined, functions, the classes of other libraries.
    const text = JSON.stringify({ ...observation, id, ts: observation.ts ?? Date.now(), sampleRate, shard });
    const bytes = Buffer.byteLength(text);
    const { maxQueued = 10_000, maxQueuedBytes = 16 * 1024 * 1024 } = this.#options;
    if (this.#queued >= maxQueued || this.#queuedBytes + bytes > maxQueuedBytes) {
      return this.#drop('the queue is full');
    }
    this.#write(id, JSON.parse(text) as Record<string, unknown>, bytes);
    return true;
  }

  #write(id: string, document: Record<string, unknown>, bytes: number): void {
    const writer = (this.#writer ??= this.#db.bulkWriter({ throttling: false }));
    const written = writer.create(this.#db.collection('ops_observations').doc(id), document);
    this.#queued += 1;
    this.#queuedBytes += bytes;
    written
      .then(
        () => (this.#report.written += 1),
        (error: Error & { code?: number }) => {
          // An answer was lost, and the write was repeated: the first one is stored.
          if (error.code === ALREADY_EXISTS) {
            this.#report.written += 1;
          } else {
            this.#report.failed += 1;
            this.#tell(error);
          }
        },
      )
      .finally(() => {
        this.#queued -= 1;
        this.#queuedBytes -= bytes;
      });
    this.#timer ??= setTimeout(() => void this.flush(), this.#options.lingerMs ?? 1_000);
  }

  #drop(reason: string): false {
    this.#report.dropped += 1;
    this.#tell(new Error(`cannot record the observation: ${reason}; it is lost`));
    return false;
  }

  #tell(error: unknown): void {
    try {
      this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
    } catch {
      // A callback that throws must not reach the request.
    }
  }
}
