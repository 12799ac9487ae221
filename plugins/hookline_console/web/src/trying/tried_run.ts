/** A run of a document that is being written, which is stored nowhere: what was asked for, and what came of it. */

import { api, type Schemas } from "../api/client";
import type { FlowDocument } from "../document/flow_document";
import { blockOf } from "../document/steps";
import { memberOf } from "../document/tree";
import type { Recorded } from "../executions/timeline";
import { fromValue, type Json, member, NULL, parse } from "../json/json";
import { type Choice, type Given, requestOf, withStubs } from "../lab/messages";
import { micros } from "../ui/moments";

export type Effects = "stubbed" | "real";
type View = Schemas["TryView"];

/** What is run, and how. */
export interface Wanted {
  text: string;
  /** The message that was chosen, what is sent for it, and the pinned results, which take the place of its stubs. */
  choice: Choice | null;
  given: Given;
  pins: ReadonlyMap<string, Json>;
  effects: Effects;
}

/** A run, and what was wanted. */
export interface TriedRun extends Wanted {
  view: View;
  /** The pointer of the step after which it ended; null for the whole flow. */
  until: string | null;
  /** The inputs and outputs of the steps by path, with all digits. */
  values: ReadonlyMap<string, { input: Json; output: Json }>;
  body: Json;
}

/** Run a document. `held`: the results of steps that don't run again. */
export async function runDraft(
  wanted: Wanted,
  until: string | null,
  held: ReadonlyMap<string, Json>,
): Promise<TriedRun> {
  const { text, given, pins, effects } = wanted;
  const sent = withStubs(withStubs(given, held), pins);
  const request = requestOf(text, sent, { effects, ...(until !== null && { until }) });
  const { data } = await api.POST("/api/v1/try", {
    // Only for the types: the request is sent as it is written.
    body: { text: "" },
    bodySerializer: () => request,
    headers: { "Content-Type": "application/json" },
    parseAs: "text",
  });
  return readTriedRun(data as unknown as string, wanted, until);
}

export function readTriedRun(data: string, wanted: Wanted, until: string | null): TriedRun {
  const view: View = JSON.parse(data);
  const exact = parse(data);
  const steps = member(exact, "steps");
  const values = view.steps.map(({ path }, index) => {
    const step = steps?.kind === "array" ? steps.items[index] : undefined;
    const value = { input: member(step, "input") ?? NULL, output: member(step, "output") ?? NULL };
    return [path, value] as const;
  });
  return { ...wanted, view, until, values: new Map(values), body: member(exact, "body") ?? NULL };
}

const SUCCEEDED = ["completed", "filtered", "stopped"];

export function stateOf({ outcome }: Pick<View, "outcome">): string {
  if (outcome === null || outcome === undefined) return "waiting";
  if (outcome === "cancelled") return "cancelled";
  return SUCCEEDED.includes(outcome) ? "succeeded" : "failed";
}

/** A run as the waterfall draws it. */
export function recordedOf(view: View): Recorded {
  const byTime = (one: string, other: string) => micros(one) - micros(other);
  const starts = view.steps.map(({ started_at }) => started_at).sort(byTime);
  const ends = view.steps.map(({ finished_at }) => finished_at).sort(byTime);
  const start = starts[0] ?? "1970-01-01T00:00:00Z";
  return {
    state: stateOf(view),
    created_at: start,
    started_at: start,
    finished_at: ends.at(-1) ?? start,
    steps: view.steps,
  };
}

/** Members of a step's result that a stub names by themselves, or that aren't of its own making. */
const OWN = ["body", "status", "headers", "attachments"];

/** The stub that gives what a step gave; null if it has given nothing. */
export function stubOf(output: Json, error: { code: string; message: string } | null): Json | null {
  if (error) return fromValue({ error: { code: error.code, message: error.message } });
  if (output.kind !== "object") return null;
  const status = member(output, "status");
  const headers = member(output, "headers");
  const beside = output.entries.filter(([name]) => !OWN.includes(name));
  return {
    kind: "object",
    entries: [
      ["result", member(output, "body") ?? NULL],
      ...(status?.kind === "number" ? [["status", status] as const] : []),
      ...(headers?.kind === "object" && headers.entries.length > 0 ? [["headers", headers] as const] : []),
      ...(beside.length > 0 ? [["beside", { kind: "object", entries: beside } as Json] as const] : []),
    ],
  };
}

/** Steps that take no stub: they wait, or consist of other steps. */
const NO_STUBS = ["webhook", "switch", "parallel", "try", "foreach"];

export function takesStub({ use, path }: { use: string; path: string }): boolean {
  return !NO_STUBS.includes(use) && !path.startsWith("$");
}

/** Whether a run that ended after a step is the beginning of what is wanted now. */
export function continues(last: TriedRun, now: Wanted): boolean {
  return (
    last.until !== null &&
    last.text === now.text &&
    last.effects === now.effects &&
    last.pins === now.pins &&
    JSON.stringify([last.choice, last.given]) === JSON.stringify([now.choice, now.given])
  );
}

/** The results of a part of a flow whose effects were real, so that they don't happen again. */
export function heldResults(tried: TriedRun): Map<string, Json> {
  const held = new Map<string, Json>();
  if (tried.effects !== "real") return held;
  for (const step of tried.view.steps) {
    // A step that failed in a `try` has had its effects, too.
    const ended = step.state === "succeeded" || step.state === "failed";
    const stub = ended && stubOf(tried.values.get(step.path)?.output ?? NULL, step.error);
    if (stub && takesStub(step)) held.set(step.path, stub);
  }
  return held;
}

/**
 * Why a flow can't be run step by step with real effects: some results can't be held, so that their effects would happen
 * again, or the next step would get masked values. Null if it can.
 */
export function obstacleOf(
  document: FlowDocument,
  effects: Effects,
  last: TriedRun | null,
): "redact" | "long" | null {
  if (effects !== "real") return null;
  if (memberOf(document.tree, "redact")) return "redact";
  return last?.view.more_steps ? "long" : null;
}

/** Whether a run has come to the step at a pointer. */
export function hasReached(
  { view }: Pick<TriedRun, "view">,
  { steps }: FlowDocument,
  pointer: string,
): boolean {
  const step = steps.find((each) => each.pointer === pointer);
  return view.steps.some(({ id }) => id === step?.id);
}

/** The step after which the next run ends, if a flow is run step by step; null once it has come to its end. */
export function nextStop({ steps }: FlowDocument, last: string | null): string | null {
  // A block is passed by its steps, one after the other.
  const stops = steps.filter(({ step, list }) => !blockOf(step) && list.startsWith("/steps"));
  const at = last === null ? -1 : stops.findIndex(({ pointer }) => pointer === last);
  return stops[at + 1]?.pointer ?? null;
}
