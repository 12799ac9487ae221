/** Adding a step: the places for it, the steps that fit there, and what a new one consists of. */

import { type Change, insertStep, newId, type Place, setValue } from "../document/edits";
import { blockAround, type FlowDocument, stepAt } from "../document/flow_document";
import type { KeyOrders } from "../document/format";
import { escapePointer } from "../document/pointer";
import { BLOCKS, type BlockKey, blockOf, freeId, type StepPlace } from "../document/steps";
import { at, list, memberOf, object, type Tree, textOf, treeFrom } from "../document/tree";
import { type Definitions, optionsOf, type Schema, settled } from "../forms/schema";
import { requiredMembers } from "../forms/values";
import { lengthOf } from "./moving";

export type SpotKind =
  | "before"
  | "after"
  | "case"
  | "otherwise"
  | "item"
  | "branch"
  | "try"
  | "catch"
  | "finally"
  | "newCase"
  | "newBranch"
  | "steps"
  | "onError";

/** A place for a step, as it is seen from the selected one. */
export interface Spot {
  kind: SpotKind;
  /** The condition of a case, or the name of a branch. */
  name: string;
  place: Place;
}

/** The places around a step and in it, and those of the flow. */
export function spotsAt(document: FlowDocument, pointer: string | null): Spot[] {
  const step = pointer === null ? undefined : stepAt(document, pointer);
  const end = (steps: string): Place => ({ list: steps, index: lengthOf(document, steps) });
  const spots: Spot[] = [];
  if (step) {
    const { list: steps, index } = step;
    spots.push({ kind: "after", name: step.id, place: { list: steps, index: index + 1 } });
    spots.push({ kind: "before", name: step.id, place: { list: steps, index } });
    for (const [kind, name, inner] of listsIn(step))
      spots.push({ kind, name, place: end(step.pointer + inner) });
  }
  spots.push({ kind: "steps", name: "", place: end("/steps") });
  const onError = memberOf(document.tree, "on_error");
  if (onError?.kind !== "scalar") spots.push({ kind: "onError", name: "", place: end("/on_error") });
  return spots;
}

/** The lists of steps that a block has or may have, with their pointers in it. */
function listsIn({ step }: StepPlace): [SpotKind, string, string][] {
  const kind = blockOf(step);
  const value = kind && memberOf(step, kind);
  switch (kind) {
    case "foreach":
      return [["item", "", "/steps"]];
    case "try":
      return [
        ["try", "", "/try"],
        ["catch", "", "/catch"],
        ["finally", "", "/finally"],
      ];
    case "switch": {
      const cases = value?.kind === "list" ? value.items : [];
      const found = cases.map((each, index): [SpotKind, string, string] => {
        const when = textOf(memberOf(each, "when"));
        return [when === undefined ? "otherwise" : "case", when ?? "", `/switch/${index}/steps`];
      });
      return [...found, ["newCase", "", "/switch/-/steps"]];
    }
    case "parallel": {
      const names = value?.kind === "object" ? value.members.map(({ name }) => name) : [];
      const found = names.map((name): [SpotKind, string, string] => [
        "branch",
        name,
        `/parallel/${escapePointer(name)}`,
      ]);
      return [...found, ["newBranch", "", `/parallel/${freeId("branch", new Set(names))}`]];
    }
    default:
      return [];
  }
}

/** A block or an action that may be added. */
export interface Choice {
  name: string;
  kind: "block" | "action";
  description: string;
}

/** What may be added at a place: all that can run there, and doesn't keep the steps behind it from running. */
export function choicesAt(document: FlowDocument, place: Place, definitions: Definitions): Choice[] {
  if (isUnreachable(document, place)) return [];
  const { Step = {}, ActionStep = {} } = definitions;
  const blocks = BLOCKS.map((name): Choice => {
    const { description = "" } = (Step.properties?.[name] ?? {}) as Schema;
    return { name, kind: "block", description };
  });
  const { use } = ActionStep.properties ?? {};
  const actions = (optionsOf((use ?? {}) as Schema) ?? []).map(
    ({ value, description = "" }): Choice => ({ name: String(value), kind: "action", description }),
  );
  return [...blocks, ...actions].filter(({ name }) => fits(document, place, name));
}

const ENDS: ReadonlySet<string> = new Set(["stop", "fail"]);

function isUnreachable(document: FlowDocument, { list: steps, index }: Place): boolean {
  const found = at(document.tree, steps);
  const before = found?.kind === "list" ? found.items.slice(0, index) : [];
  return before.some((step) => ENDS.has(textOf(memberOf(step, "use")) ?? "") && !memberOf(step, "when"));
}

function fits(document: FlowDocument, place: Place, name: string): boolean {
  if (ENDS.has(name)) return place.index >= lengthOf(document, place.list);
  if (name === "reply") return textOf(at(document.tree, "/trigger/with/respond")) === "reply";
  return name !== "batch" || takesBatch(document, place.list);
}

/** Whether executions may be gathered in a list: not in steps that run several times, or that have to end. */
function takesBatch(document: FlowDocument, steps: string): boolean {
  if (steps.startsWith("/on_error")) return false;
  for (
    let around = steps, block = blockAround(document, around);
    block;
    block = blockAround(document, around)
  ) {
    const kind = blockOf(block.step);
    if (kind === "foreach" || kind === "parallel" || around === `${block.pointer}/finally`) return false;
    around = block.list;
  }
  return true;
}

/** Add a step at a place. A case gets a condition, and the lists on the way are made. */
export function insertAt(
  document: FlowDocument,
  place: Place,
  choice: Choice,
  { orders, definitions }: { orders: KeyOrders; definitions: Definitions },
): Change | null {
  const step = newStep(document, choice, definitions);
  const [, cases] = /^(.*\/switch)\/-\/steps$/.exec(place.list) ?? [];
  if (cases === undefined) return insertStep(document, place, step, orders);
  return insertCase(document, cases, step, orders);
}

/** Add a case before the one that holds if no other does. */
function insertCase(document: FlowDocument, pointer: string, step: Tree, orders: KeyOrders): Change | null {
  const found = at(document.tree, pointer);
  if (found?.kind !== "list") return null;
  const otherwise = found.items.findIndex((each) => memberOf(each, "otherwise"));
  const index = otherwise < 0 ? found.items.length : otherwise;
  const made = object([
    ["when", treeFrom("{{ true }}")],
    ["steps", list([step])],
  ]);
  const change = setValue(
    document,
    pointer,
    { ...found, items: found.items.toSpliced(index, 0, made) },
    orders,
  );
  return change && { ...change, pointer: `${pointer}/${index}/steps/0` };
}

/** A new step, with an id that isn't taken and the settings that its action needs. */
export function newStep(document: FlowDocument, { name, kind }: Choice, definitions: Definitions): Tree {
  const members =
    kind === "block"
      ? blockMembers(name as BlockKey)
      : actionMembers(name, definitions.ActionStep ?? {}, definitions);
  return object([["id", treeFrom(newId(document, object(members)))], ...members]);
}

function blockMembers(kind: BlockKey): [string, Tree][] {
  const values: Readonly<Record<BlockKey, Record<string, unknown>>> = {
    switch: {
      switch: [
        { when: "{{ true }}", steps: [] },
        { otherwise: true, steps: [] },
      ],
    },
    foreach: { foreach: "$.body", steps: [] },
    parallel: { parallel: { first: [], second: [] } },
    try: { try: [], catch: [] },
  };
  return Object.entries(values[kind]).map(([name, value]) => [name, treeFrom(value)]);
}

function actionMembers(name: string, action: Schema, definitions: Definitions): [string, Tree][] {
  const use: [string, Tree] = ["use", treeFrom(name)];
  const { properties } = settled(action, object([use]), definitions);
  const settings = requiredMembers((properties?.with ?? {}) as Schema, definitions, { evaluated: true });
  return settings.length > 0 ? [use, ["with", object(settings)]] : [use];
}
