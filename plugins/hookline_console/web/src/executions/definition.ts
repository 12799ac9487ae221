/** The steps of a flow's document, found by the paths of an execution's journal. */

import { children, type Json, member } from "../json/json";

export interface Definition {
  /** Its path, without the numbers of items. */
  path: string;
  json: Json;
  /** The step before which it stands in its list; null if it is the first. */
  before: Definition | null;
  /** The block around it; null at the top. */
  block: Definition | null;
}

const BLOCKS = ["switch", "foreach", "parallel", "try"];

/** The steps of a document by their paths, those of `on_error`, too. */
export function definitions(document: Json): Map<string, Definition> {
  const found = new Map<string, Definition>();
  const ids = stepIds(document);
  const walk = (steps: Json | undefined, block: Definition | null) => {
    let before: Definition | null = null;
    for (const json of steps?.kind === "array" ? steps.items : []) {
      const id = ids.get(json) ?? "";
      const path = block === null ? id : `${block.path}/${id}`;
      const one: Definition = { path, json, before, block };
      found.set(path, one);
      for (const inner of lists(json)) walk(inner, one);
      before = one;
    }
  };
  walk(member(document, "steps"), null);
  walk(member(document, "on_error"), null);
  return found;
}

/** The path of a step without the numbers of items: `lines/post` for `lines[3]/post`. */
export function withoutItems(path: string): string {
  return path.replace(/\[\d+\]/g, "");
}

/** Where the message comes from that reaches a step: a step, the message of the execution, or an item of a list. */
export type Origin = { readonly step: string } | "message" | "item";

/**
 * The origin of the message that reaches a step.
 *
 * `passesOn`: whether the step with a path gave a message of its own in this execution.
 */
export function originOf(
  steps: ReadonlyMap<string, Definition>,
  path: string,
  passesOn: (path: string) => boolean,
): Origin {
  let one = steps.get(withoutItems(path)) ?? null;
  let names = path.split("/");
  while (one !== null) {
    for (let before = one.before; before !== null; before = before.before) {
      const own = [...names.slice(0, -1), before.path.split("/").at(-1)].join("/");
      if (passesOn(own)) return { step: own };
    }
    one = one.block;
    names = names.slice(0, -1);
    const last = names.at(-1);
    if (last?.endsWith("]")) return "item";
  }
  return "message";
}

/** Whether a step of an execution gave a message of its own, which the next step got. */
export function givesMessage(
  steps: readonly { path: string; state: string; signal: string | null }[],
): (path: string) => boolean {
  const gave = new Set(
    steps
      .filter((step) => step.state === "succeeded" && (step.signal ?? "interrupted") === "interrupted")
      .map((step) => step.path),
  );
  return (path) => gave.has(path);
}

/** The step without the steps inside it: its settings alone. */
export function settingsOf(step: Json): Json {
  if (step.kind !== "object") return step;
  return {
    ...step,
    entries: step.entries.filter(
      ([key]) => !["steps", "switch", "parallel", "try", "catch", "finally"].includes(key),
    ),
  };
}

function lists(step: Json): (Json | undefined)[] {
  return [
    member(step, "steps"),
    ...children(member(step, "switch") ?? { kind: "null" }).map(([, one]) => member(one, "steps")),
    ...children(member(step, "parallel") ?? { kind: "null" }).map(([, branch]) => branch),
    member(step, "try"),
    member(step, "catch"),
    member(step, "finally"),
  ];
}

/** The ids of all steps. One without an id is named for what it uses: `stop`, then `stop_2`. */
function stepIds(document: Json): Map<Json, string> {
  const ids = new Map<Json, string>();
  const unnamed: Json[] = [];
  const walk = (steps: Json | undefined) => {
    for (const json of steps?.kind === "array" ? steps.items : []) {
      const id = member(json, "id");
      if (id?.kind === "string") ids.set(json, id.text);
      else unnamed.push(json);
      lists(json).forEach(walk);
    }
  };
  walk(member(document, "steps"));
  walk(member(document, "on_error"));
  const taken = new Set(ids.values());
  for (const json of unnamed) {
    const stem = stemOf(json);
    let name = stem;
    for (let number = 2; taken.has(name); number += 1) name = `${stem}_${number}`;
    taken.add(name);
    ids.set(json, name);
  }
  return ids;
}

function stemOf(step: Json): string {
  const block = BLOCKS.find((kind) => member(step, kind) !== undefined);
  if (block !== undefined) return block;
  const use = member(step, "use");
  const name = use?.kind === "string" ? (use.text.split("@")[0] ?? "") : "step";
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
}
