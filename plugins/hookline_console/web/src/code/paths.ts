/** The paths that an expression may read at a step, with their types. */

import type { FlowDocument } from "../document/flow_document";
import type { StepPlace } from "../document/steps";
import type { Checked } from "./check";
import { parseShape, type Shape } from "./shape";

export interface PathOption {
  name: string;
  /** Its type, as text. */
  type: string;
}

/** A path in an expression that is being written: what is complete of it, and where its last name begins. */
export interface OpenPath {
  parts: readonly string[];
  /** The part of the text at its end that is being written. */
  typed: string;
}

const NAME = String.raw`[A-Za-z_]\w*`;
const JSONPATH = new RegExp(String.raw`(?:^|[^\w])\$((?:\.${NAME}|\[(?:\d+|\*)\])*)\.(\w*)$`);
const JINJA = new RegExp(String.raw`(?:^|[^\w.\]])((?:${NAME}(?:\[\d+\])?\.)*)(\w*)$`);
/** The languages in which names stand without a sign before them. */
export const NAMED: ReadonlySet<string> = new Set(["jsonata", "jmespath"]);

/** The path at the end of a text; null if no path is being written. `language`: the member that has the text. */
export function openPath(before: string, language: string): OpenPath | null {
  const json = JSONPATH.exec(before);
  if (json) return { parts: partsOf(json[1] ?? ""), typed: json[2] ?? "" };
  const code = NAMED.has(language) ? before : openJinja(before);
  const named = code === null ? null : JINJA.exec(code);
  return named && { parts: partsOf(named[1] ?? ""), typed: named[2] ?? "" };
}

/** The code of a Jinja expression that isn't closed. */
function openJinja(before: string): string | null {
  const begin = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%"));
  const end = Math.max(before.lastIndexOf("}}"), before.lastIndexOf("%}"));
  return begin >= 0 && begin > end ? before.slice(begin + 2) : null;
}

/** The names of a path; an index is `0`. */
function partsOf(path: string): string[] {
  return [...path.matchAll(/[A-Za-z_]\w*|\[(?:\d+|\*)\]/g)].map(([part]) =>
    part.startsWith("[") ? "0" : part,
  );
}

/** The names that may follow a path. */
export function pathOptions(scope: Readonly<Record<string, string>>, parts: readonly string[]): PathOption[] {
  const found = new Map<string, string>();
  for (const [path, type] of Object.entries(scope)) {
    const names = path.replace(/\?$/, "").split(".");
    if (names.length > parts.length) {
      if (!parts.every((part, index) => part === names[index])) continue;
      const name = names[parts.length] ?? "";
      const isLast = names.length === parts.length + 1;
      if (isLast || !found.has(name)) found.set(name, isLast ? type : "");
    } else if (names.every((name, index) => name === parts[index])) {
      const inner = shapeAt(parseShape(type), parts.slice(names.length));
      for (const [name, shape] of inner?.members ?? []) found.set(name, shape.text);
    }
  }
  return [...found].map(([name, type]) => ({ name, type }));
}

/** The paths that may be read in a scope: its own, and those one name further. */
export function readablePaths(scope: Readonly<Record<string, string>>): string[][] {
  const paths = Object.keys(scope).flatMap((path) => {
    const names = path.replace(/\?$/, "").split(".");
    return [names, ...pathOptions(scope, names).map(({ name }) => [...names, name])];
  });
  return [...new Map(paths.map((names) => [JSON.stringify(names), names])).values()];
}

function shapeAt(shape: Shape, parts: readonly string[]): Shape | undefined {
  let found: Shape | undefined = shape;
  for (const part of parts) found = part === "0" ? found?.item : found?.members.get(part);
  return found;
}

/** What is in scope at a step; for one that the checker doesn't know yet, at the step before it. */
export function scopeAt(
  document: FlowDocument,
  checked: Checked | null,
  step: StepPlace,
): Readonly<Record<string, string>> {
  const scopes = checked?.scopes;
  const index = document.steps.findIndex(({ pointer }) => pointer === step.pointer);
  for (const { id } of document.steps.slice(0, index + 1).toReversed()) {
    const scope = scopes?.get(id);
    if (scope) return scope;
  }
  return {};
}
