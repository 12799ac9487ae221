/** What can be done with a step: each act is one change of the document. */

import { type Change, deleteStep, duplicateStep, moveStep, wrapStep } from "../document/edits";
import { type FlowDocument, stepAround, stepAt } from "../document/flow_document";
import type { KeyOrders } from "../document/format";
import { renamedReferences } from "../document/references";
import type { BlockKey } from "../document/steps";
import { type Direction, target } from "./moving";

export type StepAct =
  | "moveUp"
  | "moveDown"
  | "moveIn"
  | "moveOut"
  | "wrapTry"
  | "wrapForeach"
  | "wrapSwitch"
  | "wrapParallel"
  | "duplicate"
  | "remove";

type Act = (document: FlowDocument, pointer: string, orders: KeyOrders) => Change | null;

const move =
  (direction: Direction): Act =>
  (document, pointer, orders) => {
    const place = target(document, pointer, direction);
    return place && moveStep(document, pointer, place, orders);
  };

/** Wrap a step, and stay at it. */
const wrap =
  (kind: BlockKey): Act =>
  (document, pointer, orders) =>
    wrapStep(document, pointer, kind, orders);

/** Each returns null if it can't be done. */
export const ACTS: Readonly<Record<StepAct, Act>> = {
  moveUp: move("up"),
  moveDown: move("down"),
  moveIn: move("in"),
  moveOut: move("out"),
  wrapTry: wrap("try"),
  wrapForeach: wrap("foreach"),
  wrapSwitch: wrap("switch"),
  wrapParallel: wrap("parallel"),
  duplicate: duplicateStep,
  remove: deleteStep,
};

/** The ids of the steps that read the result of a step, or of one in it, and aren't in it themselves. */
export function readersOf(document: FlowDocument, pointer: string): string[] {
  const step = stepAt(document, pointer);
  if (!step || !document.tree) return [];
  const isInside = (place: string) => place === pointer || place.startsWith(`${pointer}/`);
  const readers = new Set<string>();
  for (const { id } of document.steps.filter((each) => isInside(each.pointer))) {
    for (const place of renamedReferences(document.tree, id, `${id}_`).keys()) {
      if (!isInside(place)) readers.add(stepAround(document, place)?.id ?? place);
    }
  }
  return [...readers];
}
