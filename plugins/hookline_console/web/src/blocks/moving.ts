/** Where a step moves: up and down in its list and to the lists beside it, into a block, and out of one. */

import type { Place } from "../document/edits";
import { blockAround, type FlowDocument, stepAt } from "../document/flow_document";
import { type StepPlace, stepLists } from "../document/steps";
import { at } from "../document/tree";

export type Direction = "up" | "down" | "in" | "out";

/** The place to which a step moves; null if there is none. Its index counts before the step is moved. */
export function target(document: FlowDocument, pointer: string, direction: Direction): Place | null {
  const step = stepAt(document, pointer);
  return step ? TARGETS[direction](document, step) : null;
}

const TARGETS: Readonly<Record<Direction, (document: FlowDocument, step: StepPlace) => Place | null>> = {
  up: (document, { list, index }) => {
    if (index > 0) return { list, index: index - 1 };
    const before = beside(document, list, -1);
    return before === null ? null : { list: before, index: lengthOf(document, before) };
  },
  down: (document, { list, index }) => {
    if (index + 1 < lengthOf(document, list)) return { list, index: index + 2 };
    const after = beside(document, list, 1);
    return after === null ? null : { list: after, index: 0 };
  },
  // Into the block above it, at the end; otherwise into the block below it, at the beginning.
  in: (document, { list, index }) => {
    const above = listsOf(document, `${list}/${index - 1}`).at(-1);
    if (above !== undefined) return { list: above, index: lengthOf(document, above) };
    const below = listsOf(document, `${list}/${index + 1}`)[0];
    return below === undefined ? null : { list: below, index: 0 };
  },
  out: (document, { list }) => {
    const block = blockAround(document, list);
    return block && { list: block.list, index: block.index + 1 };
  },
};

/** The lists of steps in a step. */
function listsOf(document: FlowDocument, pointer: string): string[] {
  const found = stepAt(document, pointer);
  return found ? stepLists(found.step).map((below) => pointer + below) : [];
}

/** The list before (-1) or after (1) another one of the same block. */
function beside(document: FlowDocument, list: string, by: number): string | null {
  const block = blockAround(document, list);
  const lists = block ? listsOf(document, block.pointer) : [];
  return lists[lists.indexOf(list) + by] ?? null;
}

export function lengthOf(document: FlowDocument, list: string): number {
  const found = at(document.tree, list);
  return found?.kind === "list" ? found.items.length : 0;
}
