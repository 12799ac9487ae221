/** JSON values as trees that know their places. Numbers stay as they were written, since JavaScript can't hold all. */

import { type Node, type ParseError, parseTree } from "jsonc-parser";
import { escapePointer, parentOf, partsOf } from "./pointer";

/** Where a value is in its text; both are -1 for a value that is in none yet. */
interface Span {
  from: number;
  to: number;
}

export interface ScalarTree extends Span {
  kind: "scalar";
  /** Its JSON. */
  json: string;
}

export interface ListTree extends Span {
  kind: "list";
  items: readonly Tree[];
}

export interface Member {
  name: string;
  value: Tree;
  /** Where its name begins. */
  from: number;
}

export interface ObjectTree extends Span {
  kind: "object";
  members: readonly Member[];
}

export type Tree = ScalarTree | ListTree | ObjectTree;

export interface Parsed {
  /** Null if there is no value at all. */
  tree: Tree | null;
  /** True if the text isn't valid JSON; the tree then has what could be read. */
  broken: boolean;
}

const NOWHERE = { from: -1, to: -1 };

/** Read a text as far as it can be read. */
export function parse(text: string): Parsed {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { disallowComments: true, allowTrailingComma: false });
  const repeated = { found: false };
  const tree = root ? treeOf(root, text, repeated) : null;
  return { tree, broken: tree === null || errors.length > 0 || repeated.found };
}

function treeOf(node: Node, text: string, repeated: { found: boolean }): Tree {
  const span = { from: node.offset, to: node.offset + node.length };
  const children = node.children ?? [];
  if (node.type === "array") {
    return { kind: "list", ...span, items: children.map((child) => treeOf(child, text, repeated)) };
  }
  if (node.type !== "object") return { kind: "scalar", ...span, json: text.slice(span.from, span.to) };
  const members: Member[] = [];
  const names = new Set<string>();
  for (const { children: [key, value] = [] } of children) {
    if (!key || !value) continue;
    const name = String(key.value);
    // Only one of repeated members would be left.
    if (names.has(name)) repeated.found = true;
    names.add(name);
    members.push({ name, value: treeOf(value, text, repeated), from: key.offset });
  }
  return { kind: "object", ...span, members };
}

/** The tree of a JSON value. */
export function treeFrom(value: unknown): Tree {
  if (Array.isArray(value)) return list(value.map(treeFrom));
  if (typeof value !== "object" || value === null) {
    return { kind: "scalar", ...NOWHERE, json: JSON.stringify(value) };
  }
  return object(Object.entries(value).map(([name, each]) => [name, treeFrom(each)]));
}

export function list(items: readonly Tree[]): ListTree {
  return { kind: "list", ...NOWHERE, items };
}

export function object(members: readonly (readonly [string, Tree])[]): ObjectTree {
  return { kind: "object", ...NOWHERE, members: members.map(([name, value]) => ({ name, value, from: -1 })) };
}

/** The JSON value of a tree, with the numbers that JavaScript has. */
export function toJson(tree: Tree): unknown {
  switch (tree.kind) {
    case "list":
      return tree.items.map(toJson);
    case "object":
      return Object.fromEntries(tree.members.map(({ name, value }) => [name, toJson(value)]));
    default:
      return scalarOf(tree);
  }
}

/** The value of a scalar; undefined if it is still being written. */
export function scalarOf(tree: ScalarTree): unknown {
  try {
    return JSON.parse(tree.json);
  } catch {
    return undefined;
  }
}

/** The text of a value that is one; undefined for all others. */
export function textOf(tree: Tree | undefined): string | undefined {
  const value = tree?.kind === "scalar" ? scalarOf(tree) : undefined;
  return typeof value === "string" ? value : undefined;
}

export function memberOf(tree: Tree | null | undefined, name: string): Tree | undefined {
  return tree?.kind === "object" ? tree.members.find((each) => each.name === name)?.value : undefined;
}

function inside(tree: Tree, part: string): Tree | undefined {
  return tree.kind === "list" ? tree.items[Number(part)] : memberOf(tree, part);
}

/** The value at a pointer. */
export function at(tree: Tree | null, pointer: string): Tree | undefined {
  let found = tree ?? undefined;
  for (const part of partsOf(pointer)) found = found && inside(found, part);
  return found;
}

/** The pointer of the innermost value at a place of the text. The name of a member belongs to its value. */
export function pointerAt(tree: Tree | null, offset: number): string {
  let pointer = "";
  let found = tree;
  while (found) {
    let next: Tree | null = null;
    if (found.kind === "list") {
      const index = found.items.findIndex((each) => each.from <= offset && offset <= each.to);
      next = found.items[index] ?? null;
      if (next) pointer += `/${index}`;
    } else if (found.kind === "object") {
      const member = found.members.find((each) => each.from <= offset && offset <= each.value.to);
      next = member?.value ?? null;
      if (member) pointer += `/${escapePointer(member.name)}`;
    }
    found = next;
  }
  return pointer;
}

/**
 * A tree with another value at a pointer; undefined removes it.
 *
 * Objects on the way are made, and the part `-` is the place behind the last item. Null if there is no such place.
 */
export function replaced(
  tree: Tree | undefined,
  parts: readonly string[],
  value: Tree | undefined,
): Tree | undefined | null {
  const [part, ...rest] = parts;
  if (part === undefined) return value;
  if (tree === undefined) {
    if (value === undefined) return undefined;
    const made = replaced(undefined, rest, value);
    return made && (part === "-" ? list([made]) : object([[part, made]]));
  }
  if (tree.kind === "list") {
    const index = part === "-" ? tree.items.length : Number(part);
    if (!Number.isInteger(index) || index < 0 || index > tree.items.length) return null;
    const made = replaced(tree.items[index], rest, value);
    return made === null ? null : { ...tree, items: tree.items.toSpliced(index, 1, ...(made ? [made] : [])) };
  }
  if (tree.kind === "scalar") return null;
  const index = tree.members.findIndex((each) => each.name === part);
  const made = replaced(tree.members[index]?.value, rest, value);
  if (made === null) return null;
  const member = made ? [{ name: part, value: made, from: -1 }] : [];
  return { ...tree, members: tree.members.toSpliced(index < 0 ? tree.members.length : index, 1, ...member) };
}

/** A tree in which a member has another name, in its place. Null if there is one of this name. */
export function withMemberName(tree: Tree, pointer: string, name: string): Tree | null {
  const around = parentOf(pointer);
  const found = at(tree, around);
  const old = partsOf(pointer).at(-1);
  if (found?.kind !== "object" || memberOf(found, name) || !at(found, pointer.slice(around.length)))
    return null;
  const members = found.members.map((each) => (each.name === old ? { ...each, name } : each));
  return replaced(tree, partsOf(around), { ...found, members }) ?? null;
}
