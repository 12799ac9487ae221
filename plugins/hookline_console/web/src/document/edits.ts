/**
 * Changes of a document's text: pure functions from a document to the change that forms, blocks and quick fixes apply
 * to the editor, so that one undo history has them all.
 *
 * A change leaves the whole text in canonical form. Each function returns null if it can't be made, above all while the
 * text is no valid JSON.
 */

import { type FlowDocument, stepAt } from "./flow_document";
import { formatFlow, type KeyOrders } from "./format";
import { escapePointer, parentOf, partsOf } from "./pointer";
import { renamedReferences } from "./references";
import { type BlockKey, freeId, isStepId, stemOf, stepsOf } from "./steps";
import { at, list, memberOf, object, replaced, type Tree, treeFrom, withMemberName } from "./tree";

/** One change of a text, as CodeMirror takes it. */
export interface Change {
  from: number;
  to: number;
  insert: string;
  /** The pointer of what was changed, in the changed document. */
  pointer: string;
}

/** The place of a step: `index` counts in the list as it is before the change. */
export interface Place {
  list: string;
  index: number;
}

/** Bring the text in canonical form. */
export function format(document: FlowDocument, orders: KeyOrders): Change | null {
  return document.tree && changed(document, document.tree, "", orders);
}

/** Write a value at a pointer; undefined removes what is there. Objects on the way are made. */
export function setValue(
  document: FlowDocument,
  pointer: string,
  value: Tree | undefined,
  orders: KeyOrders,
): Change | null {
  const made = document.tree && replaced(document.tree, partsOf(pointer), value);
  return made ? changed(document, made, value ? pointer : parentOf(pointer), orders) : null;
}

/** Give a member another name; it keeps its place. Null if there is one of this name. */
export function renameMember(
  document: FlowDocument,
  pointer: string,
  name: string,
  orders: KeyOrders,
): Change | null {
  const made = document.tree && withMemberName(document.tree, pointer, name);
  return made && changed(document, made, `${parentOf(pointer)}/${escapePointer(name)}`, orders);
}

/** Add a step. If its id is taken, it gets another one. */
export function insertStep(
  document: FlowDocument,
  place: Place,
  step: Tree,
  orders: KeyOrders,
): Change | null {
  const made = document.tree && inserted(document.tree, place, withFreeIds(step, idsOf(document)));
  return made && changed(document, made.tree, made.pointer, orders);
}

export function deleteStep(document: FlowDocument, pointer: string, orders: KeyOrders): Change | null {
  const found = stepAt(document, pointer);
  if (!found) return null;
  const steps = at(document.tree, found.list);
  const count = steps?.kind === "list" ? steps.items.length - 1 : 0;
  const after = count > 0 ? `${found.list}/${Math.min(found.index, count - 1)}` : parentOf(found.list);
  const made = keepingIds(document, (tree) => replaced(tree, partsOf(pointer), undefined));
  return made && changed(document, made, after, orders);
}

/** Move a step to another place, which must not be in itself. */
export function moveStep(
  document: FlowDocument,
  pointer: string,
  to: Place,
  orders: KeyOrders,
): Change | null {
  const found = stepAt(document, pointer);
  if (!found || `${to.list}/`.startsWith(`${pointer}/`)) return null;
  let landed = "";
  const made = keepingIds(document, (tree) => {
    const copied = inserted(tree, to, at(tree, pointer) ?? found.step);
    if (!copied) return null;
    landed = shifted(copied.pointer, { list: found.list, index: found.index + 1 }, -1);
    return replaced(copied.tree, partsOf(shifted(pointer, to, 1)), undefined);
  });
  return made && changed(document, made, landed, orders);
}

/** Add a copy of a step below it. The steps of the copy have ids of their own, and refer to one another by them. */
export function duplicateStep(document: FlowDocument, pointer: string, orders: KeyOrders): Change | null {
  const found = stepAt(document, pointer);
  if (!found) return null;
  const place = { list: found.list, index: found.index + 1 };
  const made = keepingIds(document, (tree) => {
    const copy = withFreeIds(at(tree, pointer) ?? found.step, idsOf(document));
    return inserted(tree, place, copy)?.tree;
  });
  return made && changed(document, made, `${place.list}/${place.index}`, orders);
}

/** Put a step into a new block. */
export function wrapStep(
  document: FlowDocument,
  pointer: string,
  kind: BlockKey,
  orders: KeyOrders,
): Change | null {
  const found = stepAt(document, pointer);
  if (!found) return null;
  const id = treeFrom(freeId(STEMS[kind], idsOf(document)));
  const block = object([["id", id], ...contents(kind, found.step)]);
  return setValue(document, pointer, block, orders);
}

const STEMS: Readonly<Record<BlockKey, string>> = {
  try: "attempt",
  foreach: "each",
  switch: "choice",
  parallel: "branches",
};

/** The members of a block around a step. */
function contents(kind: BlockKey, step: Tree): [string, Tree][] {
  const steps = list([step]);
  switch (kind) {
    case "foreach":
      return [
        ["foreach", treeFrom("$.body")],
        ["steps", steps],
      ];
    case "switch":
      return [
        [
          "switch",
          list([
            object([
              ["when", treeFrom("{{ true }}")],
              ["steps", steps],
            ]),
          ]),
        ],
      ];
    case "parallel":
      return [["parallel", object([["first", steps]])]];
    default:
      return [["try", steps]];
  }
}

/** Give a step another id, also in all expressions that name it. Null if the id is taken, or can't be one. */
export function renameStep(
  document: FlowDocument,
  pointer: string,
  id: string,
  orders: KeyOrders,
): Change | null {
  const found = stepAt(document, pointer);
  if (!found || idProblem(document, pointer, id)) return null;
  const made = keepingIds(document, (tree) =>
    replaced(renamedTree(tree, found.id, id), partsOf(`${pointer}/id`), treeFrom(id)),
  );
  return made && changed(document, made, pointer, orders);
}

/** Why a step can't have an id; undefined if it can. */
export function idProblem(
  document: FlowDocument,
  pointer: string,
  id: string,
): "invalid" | "taken" | undefined {
  if (!isStepId(id)) return "invalid";
  const isTaken = document.steps.some((each) => each.id === id && each.pointer !== pointer);
  return isTaken ? "taken" : undefined;
}

/**
 * The tree of a document after an edit, in which each step has the id that it had.
 *
 * A step that names no id gets one from its action and its place. If another place would give it another id, its id is
 * written, since expressions that read it would read another step.
 */
export function keepingIds(
  document: FlowDocument,
  edit: (tree: Tree) => Tree | null | undefined,
): Tree | null {
  if (!document.tree) return null;
  const added = new Set<Tree | undefined>();
  let tree = document.tree;
  for (const { pointer, step, id } of document.steps) {
    if (memberOf(step, "id")) continue;
    const written = treeFrom(id);
    added.add(written);
    tree = replaced(tree, partsOf(`${pointer}/id`), written) ?? tree;
  }
  const made = edit(tree);
  return made ? withoutNeedlessIds(made, added) : null;
}

/** A tree without those of the added ids that its steps have anyway. */
function withoutNeedlessIds(tree: Tree, added: ReadonlySet<Tree | undefined>): Tree {
  const steps = stepsOf(tree);
  let made = tree;
  for (const { pointer, step } of steps) {
    if (added.has(memberOf(step, "id"))) made = replaced(made, partsOf(`${pointer}/id`), undefined) ?? made;
  }
  // An id that is written may give another one to a step behind it.
  for (;;) {
    const wrong = stepsOf(made).flatMap(({ pointer, step, id }, index) => {
      const wanted = steps[index]?.id ?? id;
      return memberOf(step, "id") || id === wanted
        ? []
        : [{ pointer: `${pointer}/id`, id: treeFrom(wanted) }];
    });
    if (wrong.length === 0) return made;
    for (const { pointer, id } of wrong) made = replaced(made, partsOf(pointer), id) ?? made;
  }
}

function idsOf(document: FlowDocument): ReadonlySet<string> {
  return new Set(document.steps.map((step) => step.id));
}

function renamedTree(tree: Tree, id: string, newId: string): Tree {
  let made = tree;
  for (const [pointer, text] of renamedReferences(tree, id, newId)) {
    made = replaced(made, partsOf(pointer), treeFrom(text)) ?? made;
  }
  return made;
}

/** A step in which it and the steps inside have ids that aren't taken. */
function withFreeIds(step: Tree, ids: ReadonlySet<string>): Tree {
  const taken = new Set(ids);
  // The walker takes a flow, so that the step is its only one.
  let flow: Tree = object([["steps", list([step])]]);
  for (const { pointer, step: inner, id } of stepsOf(flow)) {
    const isNamed = memberOf(inner, "id") !== undefined;
    const free = isNamed ? freeId(taken.has(id) ? stemOfId(id) : id, taken) : undefined;
    if (free === undefined) continue;
    taken.add(free);
    if (free === id) continue;
    flow = renamedTree(flow, id, free);
    flow = replaced(flow, partsOf(`${pointer}/id`), treeFrom(free)) ?? flow;
  }
  return at(flow, "/steps/0") ?? step;
}

/** An id without the number at its end. */
function stemOfId(id: string): string {
  return id.replace(/_\d+$/, "");
}

/** An id for a new step, from its action or block. */
export function newId(document: FlowDocument, step: Tree): string {
  return freeId(stemOf(step), idsOf(document));
}

/** A tree with one more step, and where it is. */
function inserted(
  tree: Tree,
  { list: pointer, index }: Place,
  step: Tree,
): { tree: Tree; pointer: string } | null {
  const [, cases] = /^(.*\/switch)\/-\/steps$/.exec(pointer) ?? [];
  if (cases !== undefined) return withOtherwise(tree, cases, step);
  const found = at(tree, pointer);
  if (found && (found.kind !== "list" || index > found.items.length)) return null;
  const items = found?.kind === "list" ? found.items : [];
  const made = replaced(tree, partsOf(pointer), list(items.toSpliced(index, 0, step)));
  return made ? { tree: made, pointer: `${pointer}/${index}` } : null;
}

/** The picture has a place for the messages that no case takes, also while there is no case for them. */
function withOtherwise(tree: Tree, cases: string, step: Tree): { tree: Tree; pointer: string } | null {
  const found = at(tree, cases);
  if (found?.kind !== "list") return null;
  const otherwise = object([
    ["otherwise", treeFrom(true)],
    ["steps", list([step])],
  ]);
  const made = replaced(tree, partsOf(`${cases}/-`), otherwise);
  return made ? { tree: made, pointer: `${cases}/${found.items.length}/steps/0` } : null;
}

/** A pointer after a list has changed by so many items at a place. */
function shifted(pointer: string, { list: of, index }: Place, by: number): string {
  if (!pointer.startsWith(`${of}/`)) return pointer;
  const [first = "", ...rest] = pointer.slice(of.length + 1).split("/");
  const number = Number(first);
  return number >= index ? [of, number + by, ...rest].join("/") : pointer;
}

/** The change from a document to one with another tree: only what differs. */
export function changed(
  document: FlowDocument,
  tree: Tree,
  pointer: string,
  orders: KeyOrders,
): Change | null {
  if (document.broken || tree.kind !== "object") return null;
  return { ...difference(document.text, formatFlow(tree, orders)), pointer };
}

/** The change from a text to another: all between their common beginning and their common end. */
export function difference(before: string, after: string): { from: number; to: number; insert: string } {
  const most = Math.min(before.length, after.length);
  let from = 0;
  while (from < most && before[from] === after[from]) from += 1;
  let end = 0;
  while (end < most - from && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  return { from, to: before.length - end, insert: after.slice(from, after.length - end) };
}
