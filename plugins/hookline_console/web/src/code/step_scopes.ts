/** The types that each step sees. The server sends what differs from the step before, since they grow step by step. */

import type { Schemas } from "../api/client";

/** The types of the paths that a step may read. */
export type Scope = Readonly<Record<string, string>>;

export class StepScopes {
  private readonly steps: readonly Schemas["StepScope"][];
  private readonly numbers: ReadonlyMap<string, number>;

  constructor(steps: readonly Schemas["StepScope"][]) {
    this.steps = steps;
    this.numbers = new Map(steps.map(({ step }, number) => [step, number]));
  }

  get size(): number {
    return this.steps.length;
  }

  /** The scope of a step, which is put together when it is needed. */
  get(id: string): Scope | undefined {
    const number = this.numbers.get(id);
    if (number === undefined) return undefined;
    const found: Record<string, string> = {};
    for (const { scope, gone } of this.steps.slice(0, number + 1)) {
      for (const path of gone) delete found[path];
      Object.assign(found, scope);
    }
    return found;
  }
}
