/**
 * JSON values as they were sent: numbers with all of their digits, keys in their order, also `__proto__`.
 *
 * `JSON.parse` rounds numbers and moves keys that look like indexes to the front.
 */

import { type Node, type ParseError, parseTree } from "jsonc-parser";
import { escapePointer, partsOf } from "../document/pointer";

export type Json =
  | { readonly kind: "object"; readonly entries: readonly Entry[] }
  | { readonly kind: "array"; readonly items: readonly Json[] }
  | { readonly kind: "string"; readonly text: string }
  | { readonly kind: "number"; readonly source: string }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "null" };

export type Entry = readonly [key: string, value: Json];

/** The key or the index of a value in the value around it. */
export type Key = string | number;

export const NULL: Json = { kind: "null" };

/** Read a text of JSON. Throws SyntaxError with the position of the first error. */
export function parse(source: string): Json {
  const errors: ParseError[] = [];
  const options = { allowTrailingComma: false, disallowComments: true };
  const root = parseTree(source, errors, options);
  const [first] = errors;
  if (root === undefined || first !== undefined) {
    throw new SyntaxError(place(source, first?.offset ?? source.length));
  }
  return value(root, source);
}

/** A value of the program as JSON. */
export function fromValue(value: unknown): Json {
  return parse(JSON.stringify(value) ?? "null");
}

function value(node: Node, source: string): Json {
  switch (node.type) {
    case "object":
      return { kind: "object", entries: (node.children ?? []).map((property) => entry(property, source)) };
    case "array":
      return { kind: "array", items: (node.children ?? []).map((item) => value(item, source)) };
    case "string":
      return { kind: "string", text: node.value };
    case "number":
      return { kind: "number", source: source.slice(node.offset, node.offset + node.length) };
    case "boolean":
      return { kind: "boolean", value: node.value };
    default:
      return NULL;
  }
}

function entry(property: Node, source: string): Entry {
  const [key, of] = property.children ?? [];
  return [key?.value, of === undefined ? NULL : value(of, source)];
}

function place(source: string, offset: number): string {
  const before = source.slice(0, offset).split("\n");
  return `${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Write a value as text, indented by two spaces; on one line without `indent`. */
export function print(json: Json, indent = "  ", before = "\n"): string {
  const inner = indent === "" ? "" : before + indent;
  const outer = indent === "" ? "" : before;
  const list = (parts: readonly string[]) =>
    parts.length === 0 ? "" : inner + parts.join(`,${inner || " "}`) + outer;
  switch (json.kind) {
    case "object":
      return `{${list(json.entries.map(([key, of]) => `${JSON.stringify(key)}: ${print(of, indent, before + indent)}`))}}`;
    case "array":
      return `[${list(json.items.map((item) => print(item, indent, before + indent)))}]`;
    case "string":
      return JSON.stringify(json.text);
    case "number":
      return json.source;
    case "boolean":
      return String(json.value);
    case "null":
      return "null";
  }
}

/** The value of a key of an object; undefined if there is none. The last one counts, as in `JSON.parse`. */
export function member(json: Json | undefined, key: string): Json | undefined {
  return json?.kind === "object" ? json.entries.findLast(([name]) => name === key)?.[1] : undefined;
}

/** The values inside a value, each with its key or index; none for a text, a number and so on. */
export function children(json: Json): readonly (readonly [Key, Json])[] {
  if (json.kind === "object") {
    return json.entries;
  }
  return json.kind === "array" ? json.items.map((item, index) => [index, item] as const) : [];
}

export function pointer(around: string, key: Key): string {
  return `${around}/${escapePointer(String(key))}`;
}

/** The value at a pointer, and the keys that lead to it; undefined if there is none. */
export function at(json: Json, of: string): { value: Json; keys: Key[] } | undefined {
  let found: Json | undefined = json;
  const keys: Key[] = [];
  for (const part of partsOf(of)) {
    const key: Key = found.kind === "array" ? Number(part) : part;
    found = found.kind === "array" ? found.items[Number(part)] : member(found, part);
    if (found === undefined) {
      return undefined;
    }
    keys.push(key);
  }
  return { value: found, keys };
}

/** Replace the value at a pointer; undefined parts on the way leave everything as it is. */
export function replaceAt(json: Json, of: string, change: (before: Json) => Json): Json {
  const step = (node: Json, rest: readonly string[]): Json => {
    const [key, ...deeper] = rest;
    if (key === undefined) {
      return change(node);
    }
    if (node.kind === "object") {
      return {
        ...node,
        entries: node.entries.map(([name, of]) => [name, name === key ? step(of, deeper) : of]),
      };
    }
    if (node.kind === "array") {
      return {
        ...node,
        items: node.items.map((item, index) => (String(index) === key ? step(item, deeper) : item)),
      };
    }
    return node;
  };
  return step(json, partsOf(of));
}

const PLAIN_KEY = /^[^.[\]'"*?:,()\s{}/]+$/;

/** A path as Hookline's expressions and `explain` write it: `body.lines[0]['a b']`. */
export function path(root: string, keys: readonly Key[]): string {
  return keys.reduce<string>((before, key) => {
    if (typeof key === "number") {
      return `${before}[${key}]`;
    }
    if (PLAIN_KEY.test(key)) {
      return before === "" ? key : `${before}.${key}`;
    }
    return key.includes("'") ? `${before}["${key}"]` : `${before}['${key}']`;
  }, root);
}
