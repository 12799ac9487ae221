/** Folding: which blocks of a chart show the steps in them. */

import { allSteps, type Chart, type ChartStep, walk } from "./chart";

/** The number of boxes up to which a picture can be read without folding anything. */
const READABLE = 60;

/** The pointers of the blocks that are folded at first: the innermost ones, until the rest can be read. */
export function foldsAtFirst(chart: Chart, readable = READABLE): ReadonlySet<string> {
  const folded = new Set(blocksOf(chart).map((step) => step.pointer));
  let shown = chart.steps.length + chart.onError.length;
  let level: readonly ChartStep[] = [...chart.steps, ...chart.onError];
  while (level.length > 0) {
    const inner: ChartStep[] = [];
    for (const block of level.filter(isBlock)) {
      const steps = block.lists.flatMap((list) => list.steps);
      if (shown + steps.length > readable) continue;
      folded.delete(block.pointer);
      shown += steps.length;
      inner.push(...steps);
    }
    level = inner;
  }
  return folded;
}

/** Fold a block, or unfold it. */
export function toggled(folded: ReadonlySet<string>, pointer: string): ReadonlySet<string> {
  const changed = new Set(folded);
  if (!changed.delete(pointer)) changed.add(pointer);
  return changed;
}

/** Unfold every block around a step, so that it is shown. */
export function revealed(folded: ReadonlySet<string>, pointer: string): ReadonlySet<string> {
  const around = [...folded].filter((each) => pointer.startsWith(`${each}/`));
  if (around.length === 0) return folded;
  const changed = new Set(folded);
  for (const each of around) changed.delete(each);
  return changed;
}

/** The step to select so that a folded block stays folded: the outermost one around the selected step, if there is one. */
export function selectedAfter(folded: ReadonlySet<string>, selected: string | null): string | null {
  const around = [...folded].filter((each) => selected?.startsWith(`${each}/`));
  return around.reduce(
    (outer, each) => (outer === null || each.length < outer.length ? each : outer),
    selected,
  );
}

export function isBlock(step: ChartStep): boolean {
  return step.lists.length > 0;
}

export function blocksOf(chart: Chart): ChartStep[] {
  return allSteps(chart).filter(isBlock);
}

/** The number of steps in a block, at any depth. */
export function stepsInside(step: ChartStep): number {
  let count = 0;
  for (const list of step.lists) for (const _ of walk(list.steps)) count += 1;
  return count;
}
