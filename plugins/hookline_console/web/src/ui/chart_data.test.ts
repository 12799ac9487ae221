import { expect, test } from "vitest";
import { movedPoint, stacked, timeTicks } from "./chart_data";

test("a bar stands on those after it, and lines stand alone", () => {
  const line = (values: number[], bars: boolean) => ({ label: "", color: "", values, bars });
  expect(stacked([line([1, 2], true), line([10, 0], true), line([5, 5], false)])).toEqual([
    [11, 2],
    [10, 0],
    [5, 5],
  ]);
});

test("ticks that are a day apart are dates, others are times", () => {
  const at = new Date(2026, 10, 28, 14, 30).getTime() / 1000;
  expect(timeTicks([at, at + 3600])[0]).toBe("14:30");
  expect(timeTicks([at, at + 86_400])[0]).toContain("28");
});

test("the arrow keys move from point to point, and stay at the ends", () => {
  expect(movedPoint(null, "ArrowLeft", 5)).toBe(4);
  expect(movedPoint(4, "ArrowLeft", 5)).toBe(3);
  expect(movedPoint(0, "ArrowLeft", 5)).toBe(0);
  expect(movedPoint(null, "ArrowRight", 5)).toBe(0);
  expect(movedPoint(4, "ArrowRight", 5)).toBe(4);
  expect(movedPoint(2, "Home", 5)).toBe(0);
  expect(movedPoint(2, "End", 5)).toBe(4);
  expect(movedPoint(2, "Tab", 5)).toBe(undefined);
  expect(movedPoint(null, "End", 0)).toBe(undefined);
});
