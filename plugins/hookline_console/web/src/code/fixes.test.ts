import { expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import { readDocument } from "../document/flow_document";
import { ordersOf } from "../document/format";
import { fixLabel, type PatchOperation, patched } from "./fixes";

const orders = ordersOf(schema);
const TEXT = `{"id": "f", "steps": [{"id": "a", "use": "mapp", "wiht": {"body": 1}}, {"id": "b", "use": "log"}]}`;

function after(...patch: readonly PatchOperation[]) {
  const document = readDocument(TEXT);
  const change = patched(document, patch, orders);
  if (change === null) return null;
  return JSON.parse(TEXT.slice(0, change.from) + change.insert + TEXT.slice(change.to));
}

test("a value is replaced", () => {
  expect(after({ op: "replace", path: "/steps/0/use", value: "map" }).steps[0].use).toBe("map");
});

test("a member gets another name, and its place among those of the language", () => {
  const [step] = after({ op: "move", from: "/steps/0/wiht", path: "/steps/0/with" }).steps;
  expect(step).toEqual({ id: "a", use: "mapp", with: { body: 1 } });
});

test("values are added and removed, and several operations are one change", () => {
  const made = after(
    { op: "add", path: "/trigger", value: { use: "webhook" } },
    { op: "add", path: "/steps/1", value: { id: "c", use: "stop" } },
    { op: "remove", path: "/steps/0/wiht" },
  );
  expect(made.trigger).toEqual({ use: "webhook" });
  expect(made.steps.map((step: { id: string }) => step.id)).toEqual(["a", "c", "b"]);
  expect(made.steps[0]).toEqual({ id: "a", use: "mapp" });
});

test("a value is moved to another step", () => {
  const made = after({ op: "move", from: "/steps/0/wiht", path: "/steps/1/with" });
  expect(made.steps[1].with).toEqual({ body: 1 });
  expect(made.steps[0].wiht).toBeUndefined();
});

test("what doesn't fit the document changes nothing", () => {
  expect(after({ op: "replace", path: "/steps/0/with/url", value: 1 })).toBeNull();
  expect(after({ op: "remove", path: "/steps/7" })).toBeNull();
  expect(after({ op: "move", from: "/steps/0/id", path: "/steps/0/use" })).toBeNull();
  expect(after()).toBeNull();
});

test.each<[string, PatchOperation]>([
  ['Change to "log"', { op: "replace", path: "/steps/0/use", value: "log" }],
  ["Rename to with", { op: "move", from: "/steps/0/wiht", path: "/steps/0/with" }],
  ["Add delivery", { op: "add", path: "/steps/0/delivery", value: "at_most_once" }],
  ['Add "jsonata"', { op: "add", path: "/mappers/-", value: "jsonata" }],
  ["Remove rate", { op: "remove", path: "/steps/0/rate" }],
  ["Remove", { op: "remove", path: "/steps/0" }],
])("a fix is called %s", (label, operation) => {
  expect(fixLabel([operation])).toBe(label);
});

test("without a fix, the place is shown", () => {
  expect(fixLabel([])).toBe("Go to it");
});
