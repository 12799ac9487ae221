import { expect, test } from "vitest";
import { barsOf } from "./sparkline_bars";

test("each time with anything has a bar, and the highest one fills the height", () => {
  expect(barsOf([0, 5, 10], [0, 0, 0], 30, 21.5)).toEqual({ good: "M15,21.5v-10M25,21.5v-20", bad: "" });
});

test("failures are below the rest, and both fit into the height", () => {
  expect(barsOf([6], [4], 10, 11.5)).toEqual({ good: "M5,7.5v-6", bad: "M5,11.5v-4" });
});

test("one among thousands can be seen", () => {
  expect(barsOf([10_000, 0], [0, 1], 20, 20).bad).toBe("M15,20v-1.5");
});

test("without anything there are no bars", () => {
  expect(barsOf([0, 0], [0, 0], 20, 20)).toEqual({ good: "", bad: "" });
  expect(barsOf([], [], 20, 20)).toEqual({ good: "", bad: "" });
});
