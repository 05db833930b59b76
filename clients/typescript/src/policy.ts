/** The active version of a policy, kept up to date by a listener. */

import type { Firestore, QueryDocumentSnapshot } from '@google-cloud/firestore';

import { type Arm, compareVersions, drawArm, drawArmOfUnit, takesCandidate } from './rules.js';
import type { Params, Policy } from './schema.js';

/** What to serve a unit with. */
export class Choice {
  constructor(
    /** `{id}@{version}` for the field `policyVersion`; `undefined` for a fallback policy. */
    readonly policyVersion: string | undefined,
    readonly params: Params,
    readonly isCandidate = false,
  ) {}

  /** Draws an arm by `params.modelWeights`. */
  draw(u: number = Math.random()): Arm | undefined {
    return drawArm(this.params.modelWeights ?? {}, u);
  }

  /** The arm of a unit, which keeps it as long as the weights allow. */
  drawFor(unit: string): Arm | undefined {
    return drawArmOfUnit(this.params.modelWeights ?? {}, unit);
  }
}

/** The version and params for a unit: the holdback's, the candidate's, or the active version's. */
export function choose(policy: Policy, unit: string): Choice {
  const { id, holdback, candidate } = policy;
  if (holdback && takesCandidate(holdback.id, unit, holdback.share)) {
    return new Choice(`${id}@${holdback.version}`, holdback.params);
  }
  if (candidate && takesCandidate(candidate.experiment, unit, candidate.share)) {
    return new Choice(`${id}@${candidate.version}`, candidate.params, true);
  }
  return new Choice(`${id}@${policy.version}`, policy.params);
}

export interface FollowOptions {
  /** Params to use while no active version is known, such as at a start without Firestore. */
  readonly fallback?: Params;
  /** How long `follow` waits for the first answer, in milliseconds. The default is 10 seconds. */
  readonly timeoutMs?: number;
  /** Called when the listener fails or a version cannot be used. The last known version stays. */
  readonly onError?: (error: Error) => void;
  /** Called with each new version, and with each change of its candidate or holdback. */
  readonly onChange?: (policy: Policy | undefined) => void;
}

/** Longest pause before a failed listener starts again. */
const MAX_PAUSE_MS = 60_000;

/** The active version of one policy. Reading it never waits. */
export class ActivePolicy {
  #current: Policy | undefined;
  #unsubscribe: () => void = () => {};
  #restart: NodeJS.Timeout | undefined;
  #pauseMs = 1_000;
  #closed = false;
  #answered: (() => void) | undefined;
  readonly #db: Firestore;
  readonly #id: string;
  readonly #options: FollowOptions;

  private constructor(db: Firestore, id: string, options: FollowOptions) {
    this.#db = db;
    this.#id = id;
    this.#options = options;
  }

  /**
   * Follows policy `id`. It resolves with the first answer, or after `timeoutMs` without one, and never
   * rejects: until a version is known, `choose` uses `fallback`.
   */
  static async follow(db: Firestore, id: string, options: FollowOptions = {}): Promise<ActivePolicy> {
    const policy = new ActivePolicy(db, id, options);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, options.timeoutMs ?? 10_000);
      policy.#answered = () => {
        clearTimeout(timer);
        resolve();
      };
      policy.#listen();
    });
    return policy;
  }

  /** The version that was active when Firestore last answered; `undefined` if there was none. */
  get current(): Policy | undefined {
    return this.#current;
  }

  /** The version and params for a unit; `fallback` without a policy version while none is known. */
  choose(unit: string): Choice {
    if (this.#current) return choose(this.#current, unit);
    return new Choice(undefined, this.#options.fallback ?? {});
  }

  /** Stops listening. The last known version stays. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#restart);
    this.#unsubscribe();
  }

  #listen(): void {
    const query = this.#db
      .collection('ops_policies')
      .where('id', '==', this.#id)
      .where('status', '==', 'active');
    this.#unsubscribe = query.onSnapshot(
      (snapshot) => {
        this.#pauseMs = 1_000;
        this.#replace(snapshot.docs);
        this.#answered?.();
      },
      (error) => {
        // The SDK repeats what can be repeated; after any other error its listener is dead.
        this.#report(error);
        this.#answered?.();
        if (this.#closed) return;
        this.#restart = setTimeout(() => this.#listen(), this.#pauseMs);
        this.#restart.unref();
        this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
      },
    );
  }

  #replace(documents: readonly QueryDocumentSnapshot[]): void {
    const versions = documents.flatMap((document) => {
      const policy = document.data() as Partial<Policy>;
      const name = `${policy.id}@${policy.version}`;
      if (name === document.id && typeof policy.params === 'object') return [policy as Policy];
      this.#report(new Error(`cannot use ops_policies/${document.id}: it has no params, or other names`));
      return [];
    });
    // If every document is damaged, the last known version is better than none.
    if (documents.length > 0 && versions.length === 0) return;
    this.#current = versions.sort((a, b) => compareVersions(a.version, b.version)).at(-1);
    this.#call(() => this.#options.onChange?.(this.#current));
  }

  #report(error: Error): void {
    this.#call(() => this.#options.onError?.(error));
  }

  /** A callback that throws must not end the listener. */
  #call(callback: () => void): void {
    try {
      callback();
    } catch {
      // The caller's own error, which has no other way out.
    }
  }
}
