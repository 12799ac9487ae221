import { expect, test } from "vitest";
import { allSteps } from "./chart";
import { blocksOf, foldsAtFirst, revealed, selectedAfter, stepsInside, toggled } from "./folding";
import { layoutOf } from "./layout";
import { act, chart, choose, each, large } from "./samples";

test("a small flow is shown as a whole", () => {
  expect(foldsAtFirst(large(5)).size).toBe(0);
});

test("of a large flow, as much is shown as can be read", () => {
  const drawn = large(200);
  const folded = foldsAtFirst(drawn);
  const shown = layoutOf(drawn, folded).boxes.length;
  expect(shown).toBeLessThanOrEqual(60);
  expect(shown).toBeGreaterThan(20);
});

test("the outer blocks are opened before the inner ones", () => {
  const drawn = chart(choose("outer", [each("inner", act("a"), act("b"), act("c"))]));
  expect([...foldsAtFirst(drawn, 2)]).toEqual(["/steps/0/switch/0/steps/0"]);
});

test("a block is folded and unfolded", () => {
  const folded = toggled(new Set(), "/steps/0");
  expect([...folded]).toEqual(["/steps/0"]);
  expect(toggled(folded, "/steps/0").size).toBe(0);
});

test("a step is shown once no block around it is folded", () => {
  const folded = new Set(["/steps/1", "/steps/1/steps/0", "/steps/10"]);
  expect([...revealed(folded, "/steps/1/steps/0/steps/3")]).toEqual(["/steps/10"]);
  expect(revealed(folded, "/steps/2")).toBe(folded);
});

test("the steps in a block are counted at any depth", () => {
  const [block] = chart(choose("s", [each("e", act("a"))], [act("b")])).steps;
  expect(block && stepsInside(block)).toBe(3);
  expect(blocksOf(large(200)).length).toBeLessThan(allSteps(large(200)).length);
});

test("once a block around the selected step is folded, the block is selected", () => {
  const inner = "/steps/0/steps/1/steps/0";
  expect(selectedAfter(new Set(["/steps/0/steps/1"]), inner)).toBe("/steps/0/steps/1");
  expect(selectedAfter(new Set(["/steps/0/steps/1", "/steps/0"]), inner)).toBe("/steps/0");
  expect(selectedAfter(new Set(["/steps/1", inner]), inner)).toBe(inner);
  expect(selectedAfter(new Set(["/steps/1"]), null)).toBeNull();
});
