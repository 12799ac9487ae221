import { expect, test } from "vitest";
import { micros, secondsBetween } from "./moments";

test("times are read to the microsecond", () => {
  expect(micros("2026-01-01T00:00:00.000123Z") - micros("2026-01-01T00:00:00Z")).toBe(123);
});

test("a duration has the microseconds of both times", () => {
  const now = new Date("2026-01-01T00:00:05Z");
  expect(secondsBetween("2026-01-01T00:00:00.0009Z", "2026-01-01T00:00:00.0204Z", now)).toBe(0.0195);
  expect(secondsBetween("2026-01-01T00:00:00.5Z", null, now)).toBe(4.5);
  expect(secondsBetween("2026-01-01T00:00:07Z", null, now)).toBe(0);
});
