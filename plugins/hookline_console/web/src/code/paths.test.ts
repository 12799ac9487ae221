import { expect, test } from "vitest";
import { readDocument } from "../document/flow_document";
import { openPath, pathOptions, readablePaths, scopeAt } from "./paths";

test.each([
  ["$.", "", [], ""],
  ["$.body.lines[0].s", "", ["body", "lines", "0"], "s"],
  ["{{ steps.order.bo", "", ["steps", "order"], "bo"],
  ["a {{ x }} {% if bo", "", [], "bo"],
  ["{{ body.lines[0].", "", ["body", "lines", "0"], ""],
  ["steps.or", "jsonata", ["steps"], "or"],
  ["$sum($.bo", "jsonata", [], "bo"],
])("a path is written in %s", (before, language, parts, typed) => {
  expect(openPath(before, language)).toEqual({ parts, typed });
});

test.each([["an order"], ["{{ x }} steps.or"], ["cost: $5"], [""]])("no path is written in %s", (before) => {
  expect(openPath(before, "")).toBeNull();
});

const SCOPE = {
  body: "{id: text, lines: list of {sku: text}}",
  "steps.order.body": "{total: number}",
  "steps.order.error?": "any",
  "vars.url": "text",
};

test.each([
  [[], ["body", "steps", "vars"]],
  [["steps"], ["order"]],
  [
    ["steps", "order"],
    ["body", "error"],
  ],
  [["steps", "order", "body"], ["total"]],
  [["body", "lines", "0"], ["sku"]],
  [["body", "unknown"], []],
])("after %j come the names that exist", (parts, names) => {
  expect(pathOptions(SCOPE, parts).map(({ name }) => name)).toEqual(names);
});

test("the paths that a step may read are those of the scope, and one name further, whatever is in it", () => {
  expect(readablePaths({ "body?": "{ship to: text}", "vars.url": "text" })).toEqual([
    ["body"],
    ["body", "ship to"],
    ["vars", "url"],
  ]);
});

test("a step that isn't checked yet sees what the one before it sees", () => {
  const document = readDocument('{"steps": [{"id": "a", "use": "map"}, {"id": "b", "use": "map"}]}');
  const checked = { problems: [], valid: true, scopes: new Map([["a", SCOPE]]) };
  const [, second] = document.steps;
  expect(second && scopeAt(document, checked, second)).toBe(SCOPE);
  expect(second && scopeAt(document, null, second)).toEqual({});
});
