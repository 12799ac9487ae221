import { expect, test } from "vitest";
import { large } from "../picture/samples";
import { chartOfDocument, flowId, nearest, readDocument, stepAround } from "./flow_document";
import { pointerAt } from "./tree";

const TEXT = `{
  "id": "parcels",
  "trigger": {"use": "webhook"},
  "steps": [
    {"id": "parcel", "use": "map"},
    {"switch": [{"when": "{{ true }}", "steps": [{"use": "log"}, {"use": "log@2"}]}]}
  ]
}`;
const document = readDocument(TEXT);

test("steps without an id get one, as the server gives it", () => {
  expect(document.steps.map(({ id, pointer }) => [id, pointer])).toEqual([
    ["parcel", "/steps/0"],
    ["switch", "/steps/1"],
    ["log", "/steps/1/switch/0/steps/0"],
    ["log_2", "/steps/1/switch/0/steps/1"],
  ]);
});

const stepIn = (offset: number) => stepAround(document, pointerAt(document.tree, offset));

test("a place of the text belongs to a step", () => {
  expect(stepIn(TEXT.indexOf('"map"'))?.id).toBe("parcel");
  expect(stepIn(TEXT.indexOf('"when"'))?.id).toBe("switch");
  expect(stepIn(TEXT.indexOf('"log@2"'))?.id).toBe("log_2");
  expect(stepIn(0)).toBeUndefined();
  expect(stepAround(document, "/steps/0/with/body/x")?.id).toBe("parcel");
});

test("a value that isn't there has a nearest one that is", () => {
  expect(nearest(document, "/steps/0/with/url")?.pointer).toBe("/steps/0");
  expect(nearest(readDocument(""), "/steps")).toBeNull();
});

test.each([
  ["a member that is being written", TEXT.replace('"use": "map"', '"use": "map", "wi')],
  ["a missing comma", TEXT.replace('"map"},', '"map"}')],
  ["a missing end", TEXT.slice(0, TEXT.lastIndexOf("]"))],
])("the steps are known in spite of %s", (_, text) => {
  const broken = readDocument(text);
  expect(broken.broken).toBe(true);
  expect(broken.steps[0]?.id).toBe("parcel");
  expect(chartOfDocument(broken).steps.length).toBeGreaterThan(0);
  expect(flowId(broken)).toBe("parcels");
});

test("nothing at all is a document, too", () => {
  for (const text of ["", "x", "[1", "null"]) expect(chartOfDocument(readDocument(text)).steps).toEqual([]);
});

test("the picture of a text is that of its document", () => {
  expect(large(30).steps.length).toBeGreaterThan(0);
  expect(chartOfDocument(document).steps.map((step) => step.kind)).toEqual(["action", "switch"]);
});
