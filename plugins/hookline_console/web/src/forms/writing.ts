/** What a form changes in a document: each is one change of its text. */

import { type Change, changed, keepingIds } from "../document/edits";
import type { FlowDocument } from "../document/flow_document";
import type { KeyOrders } from "../document/format";
import { escapePointer, parentOf, partsOf } from "../document/pointer";
import { freeId } from "../document/steps";
import { at, list, memberOf, replaced, type Tree, textOf, treeFrom } from "../document/tree";
import { optionsOf, type Schema } from "./schema";
import { wrapped } from "./values";

/** Write a value at a pointer; undefined removes it. `excludes`: the members beside it that must not be there then. */
export function write(
  document: FlowDocument,
  pointer: string,
  value: Tree | undefined,
  { orders, schema, excludes = [] }: { orders: KeyOrders; schema: Schema; excludes?: readonly string[] },
): Change | null {
  // With what is removed, steps may be.
  let tree = value
    ? document.tree && replaced(document.tree, partsOf(pointer), value)
    : keepingIds(document, (before) => replaced(before, partsOf(pointer), undefined));
  for (const name of value ? excludes : []) {
    const beside = `${parentOf(pointer)}/${escapePointer(name)}`;
    if (tree && at(tree, beside)) tree = replaced(tree, partsOf(beside), undefined);
  }
  if (tree && value) tree = withLanguage(tree, value, schema);
  return tree ? changed(document, tree, value ? pointer : parentOf(pointer), orders) : null;
}

/** A flow that lists the language of an expression, if it has to. */
function withLanguage(flow: Tree, value: Tree, schema: Schema): Tree {
  const mappers = schema.properties?.mappers;
  const known = typeof mappers === "object" ? (optionsOf(mappers.items ?? {}) ?? []) : [];
  const language = known.map((option) => String(option.value)).find((name) => wrapped(value, name));
  const listed = memberOf(flow, "mappers");
  const names = listed?.kind === "list" ? listed.items : [];
  if (language === undefined || names.some((name) => textOf(name) === language)) return flow;
  return replaced(flow, ["mappers"], list([...names, treeFrom(language)])) ?? flow;
}

/** Add an item behind the others of a list. */
export function addItem(
  document: FlowDocument,
  pointer: string,
  value: Tree,
  orders: KeyOrders,
): Change | null {
  const found = at(document.tree, pointer);
  const index = found?.kind === "list" ? found.items.length : 0;
  const tree = document.tree && replaced(document.tree, partsOf(`${pointer}/-`), value);
  return tree ? changed(document, tree, `${pointer}/${index}`, orders) : null;
}

/** Move an item of a list up (-1) or down (1). */
export function moveItem(
  document: FlowDocument,
  pointer: string,
  by: number,
  orders: KeyOrders,
): Change | null {
  const around = parentOf(pointer);
  const found = at(document.tree, around);
  const index = Number(partsOf(pointer).at(-1));
  const to = index + by;
  if (found?.kind !== "list" || to < 0 || to >= found.items.length) return null;
  const tree = keepingIds(document, (before) => {
    const list = at(before, around);
    const item = list?.kind === "list" ? list.items[index] : undefined;
    if (list?.kind !== "list" || !item) return null;
    const items = list.items.toSpliced(index, 1).toSpliced(to, 0, item);
    return replaced(before, partsOf(around), { ...list, items });
  });
  return tree ? changed(document, tree, `${around}/${to}`, orders) : null;
}

/** The pointer of what gets the focus once a part of a list or an object is removed: what follows, or precedes, or is around it. */
export function focusAfterRemoval(value: Tree | undefined, pointer: string): string {
  const around = parentOf(pointer);
  const part = partsOf(pointer).at(-1) ?? "";
  if (value?.kind === "list") {
    const last = value.items.length - 2;
    return last < 0 ? around : `${around}/${Math.min(Number(part), last)}`;
  }
  const names = value?.kind === "object" ? value.members.map(({ name }) => name) : [];
  const index = names.indexOf(part);
  const next = names[index + 1] ?? names[index - 1];
  return next === undefined ? around : `${around}/${escapePointer(next)}`;
}

/** A name that an object doesn't have yet. */
export function freeName(value: Tree | undefined, stem: string): string {
  return freeId(stem, new Set(value?.kind === "object" ? value.members.map(({ name }) => name) : []));
}
