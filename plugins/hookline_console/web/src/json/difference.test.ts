import { expect, test } from "vitest";
import { differences } from "./difference";
import { parse, path } from "./json";

const between = (before: string, after: string) =>
  differences(parse(before), parse(after)).map((one) => `${one.kind} ${path("$", one.keys)}`);

test("equal values have no differences, in whatever order their keys are", () => {
  expect(between('{"a": 1, "b": [1, 2]}', '{"b": [1, 2], "a": 1}')).toEqual([]);
});

test("what was added, removed and changed is told with its path", () => {
  expect(
    between('{"a": 1, "b": {"c": 1}, "d": [1, 2]}', '{"a": 2, "b": {"c": 1, "e": 3}, "d": [1]}'),
  ).toEqual(["changed $.a", "added $.b.e", "removed $.d[1]"]);
});

test("numbers are compared as they are written, and kinds are told apart", () => {
  expect(between("[10000000000000001]", "[10000000000000002]")).toEqual(["changed $[0]"]);
  expect(between('{"a": "1"}', '{"a": 1}')).toEqual(["changed $.a"]);
});
