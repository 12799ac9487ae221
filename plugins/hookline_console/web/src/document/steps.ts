/** The steps of a flow's document: their places in it, and their ids. */

import { escapePointer } from "./pointer";
import { at, memberOf, type ObjectTree, type Tree, textOf } from "./tree";

/** A step in its list. */
export interface StepPlace {
  pointer: string;
  /** Its id, also if the document names none. */
  id: string;
  step: ObjectTree;
  /** The pointer of the list in which it is. */
  list: string;
  index: number;
}

export const BLOCKS = ["switch", "foreach", "parallel", "try"] as const;
export type BlockKey = (typeof BLOCKS)[number];

const ID = /^[a-z][a-z0-9_]*$/;

/** The kind of a block; undefined for an action. */
export function blockOf(step: Tree): BlockKey | undefined {
  return BLOCKS.find((key) => memberOf(step, key) !== undefined);
}

/** The pointers of the lists of steps in a step, from the step. */
export function stepLists(step: ObjectTree): string[] {
  const key = blockOf(step);
  const found = key && memberOf(step, key);
  const lists: string[] = [];
  if (key === "switch" && found?.kind === "list") {
    for (const [index, each] of found.items.entries()) {
      if (memberOf(each, "steps")) lists.push(`/switch/${index}/steps`);
    }
  } else if (key === "parallel" && found?.kind === "object") {
    for (const { name } of found.members) lists.push(`/parallel/${escapePointer(name)}`);
  } else if (key === "foreach") {
    if (memberOf(step, "steps")) lists.push("/steps");
  } else if (key === "try") {
    for (const name of ["try", "catch", "finally"]) if (memberOf(step, name)) lists.push(`/${name}`);
  }
  return lists;
}

/** All steps of a flow, in the order of the text. */
export function stepsOf(flow: Tree | null): StepPlace[] {
  const found: Omit<StepPlace, "id">[] = [];
  const walk = (steps: Tree | undefined, list: string) => {
    if (steps?.kind !== "list") return;
    for (const [index, step] of steps.items.entries()) {
      if (step.kind !== "object") continue;
      const pointer = `${list}/${index}`;
      found.push({ pointer, step, list, index });
      for (const below of stepLists(step)) walk(at(step, below), pointer + below);
    }
  };
  walk(memberOf(flow, "steps"), "/steps");
  walk(memberOf(flow, "on_error"), "/on_error");
  const given = found.map(({ step }) => textOf(memberOf(step, "id")));
  const taken = new Set(given.filter((id) => id !== undefined && ID.test(id)));
  return found.map((place, index) => {
    const id = given[index];
    if (id !== undefined && ID.test(id)) return { ...place, id };
    const derived = freeId(stemOf(place.step), taken);
    taken.add(derived);
    return { ...place, id: derived };
  });
}

/** The beginning of the id of a step that names none: the block, or the action without its version. */
export function stemOf(step: Tree): string {
  const use = (textOf(memberOf(step, "use")) ?? "step").replace(/@.*$/, "");
  const text =
    blockOf(step) ??
    use
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "_")
      .replace(/^_+|_+$/g, "");
  return ID.test(text) ? text : `step_${text}`.replace(/_+$/, "");
}

/** An id that isn't taken: `stop`, then `stop_2`. */
export function freeId(stem: string, taken: ReadonlySet<string | undefined>): string {
  let name = stem;
  for (let number = 2; taken.has(name); number += 1) name = `${stem}_${number}`;
  return name;
}

export function isStepId(id: string): boolean {
  return ID.test(id);
}
