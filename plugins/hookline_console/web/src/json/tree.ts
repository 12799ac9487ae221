/** The visible rows of a JSON value as a tree, moves of the keyboard on them, and the search. */

import { children, type Json, type Key, pointer } from "./json";

/** A part that the server left out: the rest of a text, an array or an object. */
export interface Cut {
  readonly pointer: string;
  /** Characters of a text, or the values in an array or an object. */
  readonly size: number;
  /** The number of them that were sent. */
  readonly shown: number;
}

export interface Row {
  readonly pointer: string;
  readonly keys: readonly Key[];
  /** From 1, as `aria-level` counts. */
  readonly level: number;
  readonly key: Key | null;
  readonly value: Json;
  /** The number of values inside, with those that were left out. */
  readonly size: number;
  readonly expandable: boolean;
  readonly expanded: boolean;
  readonly position: number;
  readonly siblings: number;
  readonly cut: Cut | undefined;
  /** `more`: the row that fetches or shows further values of the container `pointer`. */
  readonly kind: "value" | "more";
}

/** Values of one container that are shown at first, and added by each "more". */
export const PAGE = 200;

export interface View {
  readonly open: ReadonlySet<string>;
  readonly cuts?: ReadonlyMap<string, Cut>;
  /** By pointer, how many values of a container are shown, if more than a page. */
  readonly shown?: ReadonlyMap<string, number>;
}

/** The rows to show, from top to bottom. */
export function tree(root: Json, view: View): Row[] {
  const rows: Row[] = [];
  const add = (value: Json, at: string, keys: readonly Key[], position: number, siblings: number) => {
    const inside = children(value);
    const cut = view.cuts?.get(at);
    const size = cut !== undefined && value.kind !== "string" ? cut.size : inside.length;
    const expandable = size > 0;
    const expanded = expandable && view.open.has(at);
    const level = keys.length + 1;
    const key = keys.at(-1) ?? null;
    rows.push({
      pointer: at,
      keys,
      level,
      key,
      value,
      size,
      expandable,
      expanded,
      position,
      siblings,
      cut,
      kind: "value",
    });
    if (!expanded) {
      return;
    }
    const page = inside.slice(0, view.shown?.get(at) ?? PAGE);
    page.forEach(([name, inner], index) => {
      add(inner, pointer(at, name), [...keys, name], index + 1, size);
    });
    if (page.length < size) {
      rows.push({
        pointer: at,
        keys,
        level: level + 1,
        key: null,
        value,
        size: size - page.length,
        expandable: false,
        expanded: false,
        position: page.length + 1,
        siblings: size,
        cut: page.length < inside.length ? undefined : cut,
        kind: "more",
      });
    }
  };
  add(root, "", [], 1, 1);
  return rows;
}

/** Levels that are open at first. */
const LEVELS = 6;

/** The containers that are open at first: the outermost, as long as at most so many rows are shown. */
export function opened(root: Json, rows = 40): Set<string> {
  const open = new Set<string>();
  let left = rows;
  let level: (readonly [string, Json])[] = [["", root]];
  for (let depth = 0; depth < LEVELS && level.length > 0; depth += 1) {
    const next: (readonly [string, Json])[] = [];
    for (const [at, value] of level) {
      const inside = children(value);
      if (inside.length > 0 && (inside.length <= left || at === "")) {
        open.add(at);
        left -= inside.length;
        next.push(...inside.slice(0, PAGE).map(([key, inner]) => [pointer(at, key), inner] as const));
      }
    }
    level = next;
  }
  return open;
}

/** Every container around a pointer. */
export function around(of: string): string[] {
  const found: string[] = [];
  for (let end = of.lastIndexOf("/"); end >= 0; end = of.lastIndexOf("/", end - 1)) {
    found.unshift(of.slice(0, end));
    if (end === 0) {
      break;
    }
  }
  return found;
}

/** The pointers of the values whose key or text contains the words, in order: at most `most`. */
export function search(root: Json, words: string, most = 1000): string[] {
  const wanted = words.toLowerCase();
  const found: string[] = [];
  const look = (value: Json, at: string, key: Key | null) => {
    if (found.length === most) {
      return;
    }
    if (
      (typeof key === "string" && key.toLowerCase().includes(wanted)) ||
      scalar(value).toLowerCase().includes(wanted)
    ) {
      found.push(at);
    }
    for (const [name, inner] of children(value)) {
      look(inner, pointer(at, name), name);
    }
  };
  if (wanted !== "") {
    look(root, "", null);
  }
  return found;
}

/** The text of a value that has none inside; empty for an object or an array. */
export function scalar(value: Json): string {
  switch (value.kind) {
    case "string":
      return value.text;
    case "number":
      return value.source;
    case "boolean":
      return String(value.value);
    case "null":
      return "null";
    default:
      return "";
  }
}

export type Move = { readonly to: number } | { readonly toggle: number } | { readonly choose: number };

/** What a key does at a row, as the tree pattern of WAI-ARIA has it; undefined if nothing. */
export function move(rows: readonly Row[], from: number, key: string, page: number): Move | undefined {
  const row = rows[from];
  if (row === undefined) {
    return undefined;
  }
  const within = (to: number): Move => ({ to: Math.max(0, Math.min(rows.length - 1, to)) });
  switch (key) {
    case "ArrowDown":
      return within(from + 1);
    case "ArrowUp":
      return within(from - 1);
    case "PageDown":
      return within(from + page);
    case "PageUp":
      return within(from - page);
    case "Home":
      return within(0);
    case "End":
      return within(rows.length - 1);
    case "ArrowRight":
      if (!row.expandable) {
        return undefined;
      }
      return row.expanded ? within(from + 1) : { toggle: from };
    case "ArrowLeft": {
      if (row.expanded) {
        return { toggle: from };
      }
      const outer = rows.findLastIndex((one, index) => index < from && one.level < row.level);
      return outer < 0 ? undefined : { to: outer };
    }
    case "Enter":
    case " ":
      return { choose: from };
    default:
      return undefined;
  }
}
