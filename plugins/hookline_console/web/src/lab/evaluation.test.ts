import { expect, test } from "vitest";
import { print } from "../json/json";
import { readEvaluation } from "./evaluation";

test("the values of an evaluation, and those that they come from, have all of their digits", () => {
  const origin = (field: string, value: string, reads = "") =>
    `{"field": "${field}", "value": ${value}, "known": true, "made_by": [], "note": "", "reads": [${reads}]}`;
  const inner = origin("trigger.body", '{"id": 9007199254740993, "price": 1.10}');
  const reads = origin("steps.bill.body.id", "9007199254740993", inner);
  const { scope, expressions } = readEvaluation(`{
    "reached": true, "turns": 1, "error": null, "scope": {"id": 9007199254740993}, "cuts": [], "without_stub": [],
    "expressions": [{"pointer": "/a", "type": "number", "problems": [], "value": 9007199254740993, "reads": [${reads}]}]
  }`);
  const expression = expressions.get("/a");
  const read = expression?.reads[0];
  const shown = [scope, expression?.value, read?.value, read?.reads[0]?.value].map(
    (value) => value && print(value, ""),
  );
  expect(shown).toEqual([
    '{"id": 9007199254740993}',
    "9007199254740993",
    "9007199254740993",
    '{"id": 9007199254740993, "price": 1.10}',
  ]);
});
