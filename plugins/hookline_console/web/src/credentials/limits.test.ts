import { expect, test } from "vitest";
import { covers } from "./limits";

test.each([
  [[], "orders", true],
  [["orders"], "orders", true],
  [["orders"], "orders-eu", false],
  [["orders-*"], "orders-eu", true],
  [["orders-*"], "orders", false],
  [["*-eu", "x"], "orders-eu", true],
  [["a*b*c"], "a-b-c", true],
  [["a*b*c"], "a-c-b", false],
  [["ab*ba"], "aba", false],
  [["*"], "orders", true],
  [["orders-*"], "", false],
])("the patterns %j: %s is %s", (flows, id, expected) => {
  expect(covers(flows, id)).toBe(expected);
});

test("a pattern with many stars takes no time", () => {
  expect(covers([`${"*a".repeat(100)}*b`], "a".repeat(200))).toBe(false);
});
