/**
 * The canonical form of a flow's file: what `hookline fmt` writes, byte for byte.
 *
 * The order of the language's keys comes from its schema; the layout is that of
 * `engine/hookline/flows/authoring/formatter.py`, which the tests compare it with.
 */

import { partsOf } from "./pointer";
import { blockOf, stepLists } from "./steps";
import {
  at,
  type Member,
  memberOf,
  type ObjectTree,
  parse,
  replaced,
  type ScalarTree,
  scalarOf,
  type Tree,
} from "./tree";

/** The columns of a line. Only a line with a single long text may be longer. */
const WIDTH = 120;
const INDENT = 2;
const FIRST = ["$schema", "id", "title", "state", "trigger"];
const LAST = ["steps", "on_error"];
/** The keys of all blocks that contain steps. They come last, so that a block's settings are before its steps. */
const STEPS = ["switch", "parallel", "try", "catch", "finally", "steps"];

/** The keys of the language in their order. */
export interface KeyOrders {
  flow: readonly string[];
  trigger: readonly string[];
  action: readonly string[];
  retry: readonly string[];
  case: readonly string[];
  /** Those of each kind of block, by the key that tells its kind. */
  blocks: ReadonlyMap<string, readonly string[]>;
}

interface Schema {
  properties?: Readonly<Record<string, unknown>>;
  then?: { $ref?: string };
  else?: Schema;
  if?: { required?: readonly string[] };
  $defs?: Readonly<Record<string, Schema>>;
}

/** The orders in the schema of flows. */
export function ordersOf(schema: object): KeyOrders {
  const { properties = {}, $defs = {} } = schema as Schema;
  const keys = (name: string) => Object.keys($defs[name]?.properties ?? {});
  const blocks = new Map<string, readonly string[]>();
  for (let step: Schema | undefined = $defs.Step; step?.if; step = step.else) {
    const [key] = step.if.required ?? [];
    const name = step.then?.$ref?.split("/").at(-1);
    if (key !== undefined && name !== undefined) blocks.set(key, keys(name));
  }
  return {
    flow: Object.keys(properties),
    trigger: keys("TriggerDocument"),
    action: keys("ActionStep"),
    retry: keys("RetryDocument"),
    case: keys("CaseDocument"),
    blocks,
  };
}

/** The text of a flow's file. */
export function formatFlow(flow: Tree, orders: KeyOrders): string {
  const { members } = ordered(flow, orders);
  return `{\n${members.map((each) => " ".repeat(INDENT) + flowMember(each)).join(",\n")}\n}\n`;
}

/** Whether two texts have the same flow, maybe in other layouts. */
export function isSameFlow(text: string, other: string, orders: KeyOrders): boolean {
  const [one, two] = [parse(text), parse(other)].map(({ tree, broken }) =>
    tree && !broken ? formatFlow(tree, orders) : null,
  );
  return one !== null && one === two;
}

function ordered(flow: Tree, orders: KeyOrders): ObjectTree {
  const order = [...FIRST, ...orders.flow.filter((key) => !FIRST.includes(key))];
  const made = sorted(flow, order, LAST) as ObjectTree;
  const members = made.members.map(({ name, value, from }) => {
    if (name === "trigger") return { name, value: sorted(value, orders.trigger), from };
    return LAST.includes(name) ? { name, value: sortedSteps(value, orders), from } : { name, value, from };
  });
  return { ...made, members };
}

function sortedSteps(steps: Tree, orders: KeyOrders): Tree {
  if (steps.kind !== "list") return steps;
  const items = steps.items.map((step) => (step.kind === "object" ? sortedStep(step, orders) : step));
  return { ...steps, items };
}

function sortedStep(step: ObjectTree, orders: KeyOrders): Tree {
  let made: Tree = step;
  for (const below of stepLists(step)) {
    const parts = partsOf(below);
    made = replaced(made, parts, sortedSteps(at(step, below) as Tree, orders)) ?? made;
  }
  const kind = blockOf(step);
  if (kind === undefined) {
    made = sorted(made, ["id", "use", "when", ...orders.action]);
    const retry = memberOf(made, "retry");
    return retry ? (replaced(made, ["retry"], sorted(retry, orders.retry)) ?? made) : made;
  }
  made = sorted(made, ["id", kind, "when", ...(orders.blocks.get(kind) ?? [])], STEPS);
  const cases = kind === "switch" ? memberOf(made, "switch") : undefined;
  if (cases?.kind !== "list") return made;
  const items = cases.items.map((each) => sorted(each, orders.case, ["steps"]));
  return replaced(made, ["switch"], { ...cases, items }) ?? made;
}

/** An object with its members in an order; unknown ones come after the known ones, and `last` at the end. */
function sorted(tree: Tree, first: readonly string[], last: readonly string[] = []): Tree {
  if (tree.kind !== "object") return tree;
  const rank = ({ name }: Member) => {
    if (last.includes(name)) return first.length + 1 + last.indexOf(name);
    return first.includes(name) ? first.indexOf(name) : first.length;
  };
  return { ...tree, members: tree.members.toSorted((one, other) => rank(one) - rank(other)) };
}

/** A member of the flow itself. Lists of steps always have one step per line, even if they are short. */
function flowMember({ name, value }: Member): string {
  const head = `${JSON.stringify(name)}: `;
  const used = INDENT + lengthOf(head);
  const isLong = LAST.includes(name) && value.kind === "list" && value.items.length > 0;
  return head + (isLong ? expanded(value, INDENT, used) : layout(value, INDENT, used));
}

/** A value on one line. */
export function inline(tree: Tree): string {
  switch (tree.kind) {
    case "list":
      return `[${tree.items.map(inline).join(", ")}]`;
    case "object":
      return `{${tree.members.map(({ name, value }) => `${JSON.stringify(name)}: ${inline(value)}`).join(", ")}}`;
    default:
      return scalar(tree);
  }
}

/** A value on an indented line of which `used` columns are taken; a comma may follow. */
export function layout(tree: Tree, indent: number, used: number): string {
  const line = inline(tree);
  return isEmpty(tree) || used + lengthOf(line) + 1 <= WIDTH ? line : expanded(tree, indent, used);
}

/**
 * An object or a list on several lines.
 *
 * If only the last member of an object needs several lines, it begins on the first: `{"id": "a", "with": {`.
 */
function expanded(tree: Tree, indent: number, used: number): string {
  const inner = indent + INDENT;
  const pad = " ".repeat(inner);
  const end = `\n${" ".repeat(indent)}`;
  if (tree.kind === "list") {
    return `[\n${tree.items.map((item) => pad + layout(item, inner, inner)).join(",\n")}${end}]`;
  }
  if (tree.kind === "scalar") return scalar(tree);
  const last = tree.members.at(-1);
  const head = tree.members.slice(0, -1);
  if (last && !isEmpty(last.value) && head.every(({ value }) => value.kind === "scalar")) {
    const begun = head.map(({ name, value }) => `${JSON.stringify(name)}: ${inline(value)}, `).join("");
    const opening = `{${begun}${JSON.stringify(last.name)}: `;
    const column = used + lengthOf(opening);
    if (column + 1 <= WIDTH) return `${opening}${expanded(last.value, indent, column)}}`;
  }
  const lines = tree.members.map(({ name, value }) => {
    const key = `${JSON.stringify(name)}: `;
    return pad + key + layout(value, inner, inner + lengthOf(key));
  });
  return `{\n${lines.join(",\n")}${end}}`;
}

/** True for a scalar, and for an empty list or object. */
function isEmpty(tree: Tree): boolean {
  if (tree.kind === "scalar") return true;
  return (tree.kind === "list" ? tree.items : tree.members).length === 0;
}

/** The length in characters, of which some are two in JavaScript. */
function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

function scalar(tree: ScalarTree): string {
  const { json } = tree;
  if (!json.startsWith('"')) return /^-?\d/.test(json) ? number(json) : json;
  const text = scalarOf(tree);
  // One that is still being written stays as it is.
  return text === undefined ? json : JSON.stringify(text);
}

const FRACTION = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** A number. Fractions that binary64 holds are written as it has them, and all others with all their digits. */
function number(json: string): string {
  if (!/[.eE]/.test(json)) return json === "-0" ? "0" : json;
  const shortest = Number(json).toExponential();
  return digitsOf(shortest) === digitsOf(json) ? fraction(shortest) : json;
}

/** The significant digits of a number and the place of its point, which equal numbers have in common. */
function digitsOf(json: string): string {
  const [, sign = "", whole = "", rest = "", exponent = "0"] = FRACTION.exec(json) ?? [];
  const digits = (whole + rest).replace(/^0+/, "");
  const leading = (whole + rest).length - digits.length;
  const significant = digits.replace(/0+$/, "");
  return `${sign}${significant} ${significant ? whole.length - leading + Number(exponent) : ""}`;
}

/** A fraction such as `1.25e+3` with a point, or with an exponent if it is very large or very small. */
function fraction(exponential: string): string {
  const [, sign = "", whole = "", rest = "", exponent = "0"] = FRACTION.exec(exponential) ?? [];
  const digits = whole + rest;
  const point = Number(exponent) + 1;
  if (point > 16 || point < -4) return `${sign}${whole}${rest && `.${rest}`}e${Number(exponent)}`;
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  return `${sign}${digits.slice(0, point).padEnd(point, "0")}.${digits.slice(point) || "0"}`;
}
