import { expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import { type Change, format, renameStep } from "../document/edits";
import { type FlowDocument, readDocument } from "../document/flow_document";
import { formatFlow, ordersOf } from "../document/format";
import generated from "../document/formatted_flows.json";
import { partsOf } from "../document/pointer";
import { textAfter } from "../document/samples";
import { at, replaced, scalarOf, type Tree, toJson, treeFrom } from "../document/tree";
import { type FieldPlace, placesIn } from "./places";
import type { Schema } from "./schema";
import { begin, codeOf, inputFor, numberFrom, withCode } from "./values";
import { addItem, write } from "./writing";

const language = schema as unknown as Schema;
const definitions = language.$defs ?? {};
const orders = ordersOf(schema);
const shipped = import.meta.glob<string>(
  ["../../../../../flows/*.json", "!../../../../../flows/*.test.json", "!../../../../../flows/*.schema.json"],
  { query: "?raw", import: "default", eager: true },
);
/** Milliseconds. Other tests may use the same processors. */
const PATIENCE = 30_000;
const nameOf = (file: string) => file.split("/").at(-1) ?? file;
const FLOWS = [
  ...Object.entries(shipped).map(([file, text]) => ({ name: nameOf(file), text, canonical: text })),
  ...generated.map(({ text, formatted }, index) => ({
    name: `generated ${index}`,
    text,
    canonical: formatted,
  })),
];

function applied(document: FlowDocument, change: Change | null): FlowDocument {
  return readDocument(textAfter(document.text, change));
}

/** Every field that the forms of a flow and its steps have. */
function placesOf(document: FlowDocument): FieldPlace[] {
  const steps = document.steps.map(({ pointer, step }) => ({
    pointer,
    value: step as Tree,
    schema: definitions.Step,
  }));
  const flow = { pointer: "", value: document.tree as Tree, schema: language };
  return [flow, ...steps].flatMap((each) => [
    ...placesIn(each.schema ?? {}, each.value, each.pointer, definitions),
  ]);
}

const tried = new Set<string>();

/** Whether a field is the first one of its kind: the same setting, given in the same way. */
function isFirst({ pointer, value, input, inputs }: FieldPlace): boolean {
  const setting = pointer.replace(/.*\d+\//, "");
  const kind = `${setting} ${value === undefined ? inputs.map((each) => each.kind) : JSON.stringify(input)}`;
  return !tried.has(kind) && tried.add(kind).size > 0;
}

/** What somebody might make of a value in its field. */
function otherValue({ value, input }: FieldPlace): Tree | undefined {
  switch (input?.kind) {
    case "text":
      return treeFrom(`${scalarOf(value as never)} and more`);
    case "expression": {
      const code = codeOf(value, input.language) ?? "";
      return withCode(
        value,
        input.language,
        input.language === "jsonpath" ? `${code}.more` : `${code} and more`,
      );
    }
    case "number":
      return numberFrom("7");
    case "boolean":
      return treeFrom(!scalarOf(value as never));
    case "choice":
      return treeFrom(
        input.options.find((option) => option.value !== scalarOf(value as never))?.value ?? "other",
      );
    case "json":
      return treeFrom({ other: [1, "two"] });
    default:
      return undefined;
  }
}

/** The text after every value was edited in its field, and edited back. */
function allEditedAndBack(document: FlowDocument, places: readonly FieldPlace[]): string {
  const isId = ({ pointer }: FieldPlace) => pointer.endsWith("/id");
  const edits = places.flatMap((place) => {
    const other = isId(place) ? undefined : otherValue(place);
    return other ? [{ ...place, other }] : [];
  });
  const put = (tree: Tree, pointer: string, value: Tree | undefined) =>
    replaced(tree, partsOf(pointer), value) as Tree;
  const changed = edits.reduce(
    (tree, { pointer, other }) => put(tree, pointer, other),
    document.tree as Tree,
  );
  const reread = readDocument(formatFlow(changed, orders));
  for (const { pointer, other } of edits) {
    expect(toJson(at(reread.tree, pointer) as Tree), pointer).toEqual(toJson(other));
  }
  const back = edits.reduce((tree, { pointer, value }) => put(tree, pointer, value), reread.tree as Tree);
  return formatFlow(back, orders);
}

/** The document after a field was edited, and edited back, each by the change that the form makes. */
function editedAndBack(document: FlowDocument, place: FieldPlace): FlowDocument {
  const writing = { orders, schema: language };
  const { pointer, value, input, inputs } = place;
  if (pointer.endsWith("/id") && document.steps.some((step) => `${step.pointer}/id` === pointer) && value) {
    const step = pointer.slice(0, -3);
    const renamed = applied(document, renameStep(document, step, "quite_another", orders));
    return applied(renamed, renameStep(renamed, step, String(scalarOf(value as never)), orders));
  }
  if (input?.kind === "list" && value?.kind === "list") {
    const added = applied(document, addItem(document, pointer, treeFrom("new"), orders));
    const last = `${pointer}/${value.items.length}`;
    expect(at(added.tree, last)).toBeDefined();
    return applied(added, write(added, last, undefined, writing));
  }
  if (input?.kind === "map") {
    const added = applied(document, write(document, `${pointer}/new_name`, treeFrom("new"), writing));
    return applied(added, write(added, `${pointer}/new_name`, undefined, writing));
  }
  const other = value
    ? otherValue(place)
    : begin(inputs[0] ?? { kind: "json" }, undefined, inputs, definitions);
  if (!other) return document;
  const changed = applied(document, write(document, pointer, other, writing));
  expect(changed.text, pointer).not.toBe(document.text);
  return applied(changed, write(changed, pointer, value, writing));
}

test.each(FLOWS)(
  "$name is opened, formatted, edited by form in every field, and back",
  ({ text, canonical }) => {
    const opened = readDocument(text);
    const change = format(opened, orders);
    const document = change ? applied(opened, change) : opened;
    expect(document.text).toBe(canonical);
    const places = placesOf(document);
    expect(places.length).toBeGreaterThan(10);
    expect(allEditedAndBack(document, places)).toBe(canonical);
    for (const place of places.filter(isFirst)) {
      expect(editedAndBack(document, place).text, place.pointer).toBe(canonical);
    }
  },
  PATIENCE,
);

test("the settings of a shipped flow need no JSON", () => {
  const shown = Object.values(shipped).flatMap((text) => placesOf(readDocument(text)));
  const json = shown.filter(({ input }) => input?.kind === "json").map(({ pointer }) => pointer);
  expect(json).toEqual([]);
});

test(
  "each value can be given in each way that its field offers",
  () => {
    tried.clear();
    for (const text of Object.values(shipped)) {
      const document = readDocument(text);
      for (const place of placesOf(document).filter(isFirst)) {
        for (const input of place.inputs) {
          const made = begin(input, place.value, place.inputs, definitions);
          expect(inputFor(place.inputs, made).kind, `${place.pointer} as ${input.kind}`).not.toBe("json");
        }
      }
    }
  },
  PATIENCE,
);
