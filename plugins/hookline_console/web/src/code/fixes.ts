/** Quick fixes: the remedies of the checker that are exact, as changes of the document. */

import type { Schemas } from "../api/client";
import { type Change, changed } from "../document/edits";
import type { FlowDocument } from "../document/flow_document";
import type { KeyOrders } from "../document/format";
import { parentOf, partsOf } from "../document/pointer";
import { at, replaced, type Tree, treeFrom, withMemberName } from "../document/tree";
import { texts } from "../texts";

const words = texts.editor.problems.fixes;

/** An operation of a JSON Patch (RFC 6902). */
export type PatchOperation = Schemas["Patch"];

/** Where what is missing can be created; undefined for all other problems. */
export function creationOf({ code, unknown }: Schemas["Problem"]): string | undefined {
  return code === "credential_missing" && unknown
    ? `/credentials?create=${encodeURIComponent(unknown)}`
    : undefined;
}

/** What is offered for a problem, for its button. */
export function actionLabel(problem: Schemas["Problem"]): string {
  return problem.fix.length === 0 && creationOf(problem) ? words.create : fixLabel(problem.fix);
}

/** What a fix changes. */
export function fixLabel([first]: readonly PatchOperation[]): string {
  if (!first) return words.goTo;
  const name = partsOf(first.path).at(-1) ?? "";
  // An item of a list has no name.
  const shown = /^(?:\d+|-)$/.test(name) ? undefined : name;
  switch (first.op) {
    case "remove":
      return words.remove(shown);
    case "add":
      return words.add(shown ?? shortJson(first.value));
    case "move":
      return words.rename(name);
    case "replace":
      return words.change(shortJson(first.value));
  }
}

const LONGEST_VALUE = 40;

function shortJson(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text;
}

/** The change that a patch makes; null if it doesn't fit the document, which may have changed since the check. */
export function patched(
  document: FlowDocument,
  patch: readonly PatchOperation[],
  orders: KeyOrders,
): Change | null {
  let tree = document.tree;
  let place = "";
  for (const operation of patch) {
    tree = tree && applied(tree, operation);
    place = operation.op === "remove" ? parentOf(operation.path) : operation.path;
  }
  return tree && patch.length > 0 ? changed(document, tree, place, orders) : null;
}

function applied(tree: Tree, { op, path, from, value }: PatchOperation): Tree | null {
  const parts = partsOf(path);
  switch (op) {
    case "remove":
      return at(tree, path) ? (replaced(tree, parts, undefined) ?? null) : null;
    case "replace":
      return at(tree, path) ? (replaced(tree, parts, treeFrom(value)) ?? null) : null;
    case "add":
      return added(tree, path, treeFrom(value));
    case "move":
      return moved(tree, from ?? "", path);
  }
}

/** A value added to an object, or to a list before the one at its place. */
function added(tree: Tree, path: string, value: Tree): Tree | null {
  const list = at(tree, parentOf(path));
  const part = partsOf(path).at(-1);
  if (list?.kind !== "list" || part === "-") return replaced(tree, partsOf(path), value) ?? null;
  const items = list.items.toSpliced(Number(part), 0, value);
  return replaced(tree, partsOf(parentOf(path)), { ...list, items }) ?? null;
}

/** A value at another place. A member that only gets another name stays where it is among the others. */
function moved(tree: Tree, from: string, path: string): Tree | null {
  const value = at(tree, from);
  if (!value) return null;
  const around = at(tree, parentOf(from));
  const name = partsOf(path).at(-1);
  if (parentOf(from) === parentOf(path) && around?.kind === "object" && name !== undefined) {
    return withMemberName(tree, from, name);
  }
  const without = replaced(tree, partsOf(from), undefined);
  return without ? added(without, path, value) : null;
}
