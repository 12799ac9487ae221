import { expect, test } from "vitest";
import { print } from "../json/json";
import { readEvaluation, type Shown, shownOf } from "./evaluation";
import { isMissing, type Message } from "./useMessage";

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

test("values of another step or another message are never shown", () => {
  const last = { of: "one", value: {}, error: undefined } as Shown;
  expect(shownOf(last, "one")).toBe(last);
  expect(shownOf(last, "two")).toEqual({ of: "two", value: undefined, error: undefined });
});

test("a message is missing once it can't be loaded, but not if it is only loaded again in vain", () => {
  const loaded = { value: { parts: {} }, error: undefined };
  const failed = { value: undefined, error: new Error("no answer") };
  const missing = (messages: object, given: object) =>
    isMissing({ messages, given } as Pick<Message, "messages" | "given">);
  expect(missing(loaded, loaded)).toBe(false);
  expect(missing(loaded, failed)).toBe(true);
  expect(missing(failed, { value: null, error: undefined })).toBe(true);
  expect(missing(failed, loaded)).toBe(false);
  expect(missing(loaded, { value: undefined, error: undefined })).toBe(false);
});
