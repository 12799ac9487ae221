/** The chart of a flow: the steps of its document as a tree, with what a picture tells about each. */

import { escapePointer } from "../document/pointer";

export type BlockKind = "switch" | "foreach" | "parallel" | "try";
export type StepKind = "action" | "call" | "wait" | BlockKind;

export interface ChartStep {
  /** The id of the step, also of one that doesn't name it. */
  id: string;
  /** Its JSON pointer in the document. */
  pointer: string;
  kind: StepKind;
  /** Its action, such as `http.request`; empty for a block. */
  use: string;
  /** The condition under which it runs. */
  when?: string;
  /** The flow that it calls, or the list of a `foreach`. */
  subject?: string;
  /** True if it starts the flow that it calls, and doesn't wait for its end. */
  starts?: boolean;
  /** The items that run side by side. */
  concurrency?: number;
  /** True if each case of a switch runs that holds. */
  everyCase?: boolean;
  /** True if the flow goes on after it failed. */
  continues?: boolean;
  /** True if no step runs after it. */
  ends: boolean;
  /** The lists of steps in a block. */
  lists: readonly ChartList[];
}

export interface ChartList {
  kind: "case" | "item" | "branch" | "try" | "catch" | "finally";
  /** The JSON pointer of its steps. */
  pointer: string;
  /** The condition of a case, or the name of a branch; empty for the case that runs if no other does. */
  label: string;
  steps: readonly ChartStep[];
}

export interface Chart {
  /** The trigger, such as `webhook`. */
  trigger: string;
  steps: readonly ChartStep[];
  /** The steps that run if an execution fails. */
  onError: readonly ChartStep[];
  /** The flow that is started if an execution fails. */
  onErrorFlow?: string;
}

type Json = Readonly<Record<string, unknown>>;

/** The actions after which no other step runs. */
const ENDS: ReadonlySet<string> = new Set(["stop", "fail"]);
const WAITS: ReadonlySet<string> = new Set(["webhook", "batch"]);
const LONGEST = 200;

/** The chart of a document. `ids`: the id of each step by its pointer. What isn't a step is left out. */
export function chartOf(document: unknown, ids: Readonly<Record<string, string>>): Chart {
  const flow = record(document);
  const onError = flow.on_error;
  return {
    trigger: plain(record(flow.trigger).use),
    steps: stepsOf(flow.steps, "/steps", ids),
    onError: stepsOf(onError, "/on_error", ids),
    ...(typeof onError === "string" && { onErrorFlow: plain(onError) }),
  };
}

/** Every step of a list and of the blocks in it, in the order of the text. */
export function* walk(steps: readonly ChartStep[]): Generator<ChartStep> {
  for (const step of steps) {
    yield step;
    for (const list of step.lists) yield* walk(list.steps);
  }
}

/** Every step of a chart, in the order of the text. */
export function allSteps(chart: Chart): ChartStep[] {
  return [...walk(chart.steps), ...walk(chart.onError)];
}

function stepsOf(steps: unknown, pointer: string, ids: Readonly<Record<string, string>>): ChartStep[] {
  return array(steps).flatMap((step, index) =>
    isRecord(step) ? [stepOf(step, `${pointer}/${index}`, ids)] : [],
  );
}

function stepOf(step: Json, pointer: string, ids: Readonly<Record<string, string>>): ChartStep {
  const made = {
    id: plain(ids[pointer] ?? step.id),
    pointer,
    ...(step.when !== undefined && step.when !== true && { when: plain(step.when) }),
    ...(step.on_error === "continue" && { continues: true }),
  };
  const list = (kind: ChartList["kind"], path: string, label: string, steps: unknown): ChartList => ({
    kind,
    pointer: `${pointer}/${path}`,
    label,
    steps: stepsOf(steps, `${pointer}/${path}`, ids),
  });
  if (Array.isArray(step.switch)) {
    const cases = step.switch.map((each, index) =>
      list("case", `switch/${index}/steps`, caseLabel(record(each)), record(each).steps),
    );
    const everyCase = step.match === "all";
    if (!cases.some((each) => each.label === "")) cases.push(list("case", "switch/-/steps", "", []));
    return { ...made, kind: "switch", use: "", ends: false, lists: cases, ...(everyCase && { everyCase }) };
  }
  if ("foreach" in step) {
    return {
      ...made,
      kind: "foreach",
      use: "",
      subject: plain(step.foreach),
      ...(Number(step.concurrency) > 1 && { concurrency: Number(step.concurrency) }),
      ends: false,
      lists: [list("item", "steps", "", step.steps)],
    };
  }
  if (isRecord(step.parallel)) {
    const branches = Object.entries(step.parallel).map(([name, steps]) =>
      list("branch", `parallel/${escapePointer(name)}`, plain(name), steps),
    );
    return { ...made, kind: "parallel", use: "", ends: false, lists: branches };
  }
  if ("try" in step) {
    const kinds = ["try", "catch", "finally"] as const;
    const lists = kinds.flatMap((kind) =>
      Array.isArray(step[kind]) ? [list(kind, kind, "", step[kind])] : [],
    );
    return { ...made, kind: "try", use: "", ends: false, lists };
  }
  const use = plain(step.use);
  const settings = record(step.with);
  if (use === "flow") {
    const starts = settings.wait === false;
    return { ...made, kind: "call", use, subject: plain(settings.id), starts, ends: false, lists: [] };
  }
  return {
    ...made,
    kind: WAITS.has(use) ? "wait" : "action",
    use,
    ends: ENDS.has(use) && made.when === undefined,
    lists: [],
  };
}

function caseLabel(given: Json): string {
  return given.otherwise === true ? "" : plain(given.when);
}

/**
 * A value as a short text in one line.
 *
 * Control characters and those that change the direction of a text could make it look like another one.
 */
export function plain(value: unknown): string {
  const text = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  const line = text.replace(/\s+/g, " ").trim();
  const cut = line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
  return cut.replace(/\p{Cc}|\p{Cf}|\p{Cs}/gu, "\uFFFD");
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function record(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function array(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
