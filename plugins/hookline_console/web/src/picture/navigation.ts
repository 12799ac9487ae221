/** The keyboard in a picture: the arrow keys follow the flow. */

import type { Chart, ChartList, ChartStep } from "./chart";
import { isBlock } from "./folding";

interface Place {
  step: ChartStep;
  /** The steps among which it is. */
  list: readonly ChartStep[];
  index: number;
  /** The lists side by side, of which `list` is one. */
  lists: readonly (readonly ChartStep[])[];
  /** The block around it. */
  block: Place | null;
}

/**
 * The pointer of the step to which a key leads from another one; the same one if it leads nowhere.
 *
 * Down goes on as an execution does, into blocks and out of them; up goes back. Left and right change to the list
 * beside, and left leads out of the block if there is none.
 */
export function moved(chart: Chart, folded: ReadonlySet<string>, from: string, key: string): string {
  const roots = [chart.steps, chart.onError].filter((steps) => steps.length > 0);
  const here = find(roots, from, null);
  if (here === null) return roots[0]?.[0]?.pointer ?? from;
  const to = { ArrowDown: down, ArrowUp: up, ArrowLeft: left, ArrowRight: right, Home: home, End: end }[key];
  return to?.(here, folded)?.pointer ?? from;
}

function find(lists: readonly (readonly ChartStep[])[], pointer: string, block: Place | null): Place | null {
  for (const list of lists) {
    for (const [index, step] of list.entries()) {
      const place = { step, list, index, lists, block };
      if (step.pointer === pointer) return place;
      if (pointer.startsWith(`${step.pointer}/`)) return find(stepsOf(step), pointer, place);
    }
  }
  return null;
}

function down(here: Place, folded: ReadonlySet<string>): ChartStep | null {
  return shownLists(here.step, folded)[0]?.[0] ?? after(here);
}

/** The step that runs after a step, and after those in it. */
function after(here: Place): ChartStep | null {
  return here.list[here.index + 1] ?? (here.block && after(here.block));
}

function up(here: Place, folded: ReadonlySet<string>): ChartStep | null {
  const before = here.list[here.index - 1];
  return before === undefined ? (here.block?.step ?? null) : last(before, folded);
}

/** The last step that is shown in a step, in the first of its lists; the step itself if none is. */
function last(step: ChartStep, folded: ReadonlySet<string>): ChartStep {
  const inner = shownLists(step, folded)[0]?.at(-1);
  return inner === undefined ? step : last(inner, folded);
}

function right(here: Place): ChartStep | null {
  const beside = here.lists[here.lists.indexOf(here.list) + 1];
  return beside?.[0] ?? (here.block && right(here.block));
}

function left(here: Place): ChartStep | null {
  return here.lists[here.lists.indexOf(here.list) - 1]?.[0] ?? here.block?.step ?? null;
}

function home(here: Place): ChartStep | null {
  return here.list[0] ?? null;
}

function end(here: Place): ChartStep | null {
  return here.list.at(-1) ?? null;
}

function shownLists(step: ChartStep, folded: ReadonlySet<string>): readonly (readonly ChartStep[])[] {
  return isBlock(step) && !folded.has(step.pointer) ? stepsOf(step) : [];
}

function stepsOf(step: ChartStep): readonly (readonly ChartStep[])[] {
  return step.lists.map((list: ChartList) => list.steps).filter((steps) => steps.length > 0);
}
