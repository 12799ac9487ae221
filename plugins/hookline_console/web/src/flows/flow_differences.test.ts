import { expect, test } from "vitest";
import { print } from "../json/json";
import { readDifferences } from "./flow_differences";

test("a difference has its values with all of their digits, and none if there was none", () => {
  const found = readDifferences(`{"differences": [
    {"kind": "vars", "at": "vars.limit", "old": 9007199254740993, "new": 9007199254740992},
    {"kind": "vars", "at": "vars.rate", "old": {"eur": 1.10}},
    {"kind": "vars", "at": "vars.none", "new": null}
  ]}`);
  const shown = found.map(({ at, old, new: now }) => [
    at,
    ...[old, now].map((each) => each && print(each, "")),
  ]);
  expect(shown).toEqual([
    ["vars.limit", "9007199254740993", "9007199254740992"],
    ["vars.rate", '{"eur": 1.10}', undefined],
    ["vars.none", undefined, "null"],
  ]);
});
