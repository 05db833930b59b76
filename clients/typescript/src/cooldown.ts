/** Which arms are left out for some time after errors. */

import { type Arm, type Weights, drawArm, drawArmOfUnit, usedArms } from './rules.js';

/** An arm to use, and whether it was drawn by the weights of the policy. */
export interface Drawn extends Arm {
  /**
   * Whether the observation may name the policy's version. While an arm cools down, the others get its
   * share: their results must not be compared as if they had been drawn by the weights.
   */
  readonly byWeights: boolean;
}

/** The arms that cool down. Times are epoch milliseconds, given by the caller. */
export class Cooldowns {
  readonly #until = new Map<string, number>();
  readonly #failures = new Map<string, number>();

  /**
   * Counts an error of `arm` that `params.fallbackOn` lists. The `after`th in a row leaves the arm out until
   * `now + cooldownMs`.
   */
  failed(arm: string, cooldownMs: number, after: number, now: number): void {
    const failures = (this.#failures.get(arm) ?? 0) + 1;
    const cools = failures >= after && cooldownMs > 0;
    this.#failures.set(arm, cools ? 0 : failures);
    if (cools) this.#until.set(arm, Math.max(this.#until.get(arm) ?? 0, now + cooldownMs));
  }

  /** Counts a call of `arm` that had no such error. */
  succeeded(arm: string): void {
    this.#failures.delete(arm);
  }

  cools(arm: string, now: number): boolean {
    const until = this.#until.get(arm);
    if (until === undefined) return false;
    if (until > now) return true;
    this.#until.delete(arm);
    return false;
  }

  /**
   * Draws among the arms that do not cool down and are not `without`, in proportion to their weights. If
   * all cool down, all are drawn from. `undefined` if no arm with a weight above 0 is left.
   */
  draw(
    weights: Weights,
    now: number,
    by: { readonly u: number } | { readonly unit: string },
    without: readonly string[] = [],
  ): Drawn | undefined {
    const used = usedArms(weights);
    const left = used.filter((arm) => !without.includes(arm.name));
    const awake = left.filter((arm) => !this.cools(arm.name, now));
    const from = awake.length > 0 ? awake : left;
    const total = from.reduce((sum, arm) => sum + arm.weight, 0);
    const byWeights = from.length === used.length;
    const share = Object.fromEntries(
      from.map(({ name, weight }) => [name, byWeights ? weight : weight / total]),
    );
    const arm = 'u' in by ? drawArm(share, by.u) : drawArmOfUnit(share, by.unit);
    return arm && { ...arm, byWeights };
  }
}
