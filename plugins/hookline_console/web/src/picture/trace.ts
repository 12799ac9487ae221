/** The path of an execution through a flow. */

import { allSteps, type Chart, type ChartStep } from "./chart";
import type { Edge } from "./layout";

/** A step of an execution, as the API has it. */
export interface RanStep {
  id: string;
  state: string;
}

export interface Trace {
  /** The state of each step that has run, by its pointer. Of the items of a `foreach`, the most important one. */
  states: ReadonlyMap<string, string>;
  /** True if the execution has gone along an edge. */
  took: (edge: Edge) => boolean;
}

/** From the one that hides the others to the one that any hides. */
const IMPORTANCE = ["failed", "waiting", "started", "interrupted", "succeeded", "skipped"];

/** A step whose condition can't be evaluated fails without an entry of its own. */
export function failedAt(path: string | null | undefined): RanStep[] {
  return path ? [{ id: path.slice(path.lastIndexOf("/") + 1), state: "failed" }] : [];
}

/** The path of an execution with these steps. `succeeded`: it has come to the end of the flow. */
export function traceOf(chart: Chart, steps: readonly RanStep[], succeeded: boolean): Trace {
  const byId = new Map<string, string>();
  for (const { id, state } of steps) {
    const before = byId.get(id);
    if (before === undefined || rank(state) < rank(before)) byId.set(id, state);
  }
  const states = new Map<string, string>();
  const blocks = new Map<string, ChartStep>();
  for (const step of allSteps(chart)) {
    const state = byId.get(step.id) ?? (began(step, byId) ? "started" : undefined);
    if (state !== undefined) states.set(step.pointer, state);
    for (const list of step.lists) blocks.set(list.pointer, step);
  }
  const goesOn = new Set(
    allSteps(chart)
      .filter((step) => step.continues)
      .map((step) => step.pointer),
  );
  const passed = (pointer: string) => {
    const state = states.get(pointer);
    return state === "succeeded" || state === "skipped" || (state === "failed" && goesOn.has(pointer));
  };
  const took = (edge: Edge): boolean => {
    const { from, to, list } = edge;
    if (from === "trigger") return to !== "end" && to !== null ? states.has(to) : succeeded;
    if (from === "error") return to !== null && states.has(to);
    if (to === "end") return succeeded && passed(from);
    if (edge.kind === "back") return passed(from);
    if (to !== null) return states.has(to) && (edge.kind !== "flow" || from === "" || states.has(from));
    const block = list === undefined ? undefined : blocks.get(list);
    // An empty list leaves no trace: it was taken if its block has ended, and no other list was.
    if (block?.pointer === from)
      return passed(from) && !block.lists.some((each) => hasRun(each.steps, states));
    return passed(from);
  };
  return { states, took };
}

/** A block has an entry of its own only when it ends. */
function began(step: ChartStep, byId: ReadonlyMap<string, string>): boolean {
  return step.lists.some((list) => list.steps.some((each) => byId.has(each.id) || began(each, byId)));
}

function hasRun(steps: readonly ChartStep[], states: ReadonlyMap<string, string>): boolean {
  return steps.some((step) => states.has(step.pointer));
}

function rank(state: string): number {
  const place = IMPORTANCE.indexOf(state);
  return place < 0 ? IMPORTANCE.length : place;
}
