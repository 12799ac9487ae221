import { expect, test } from "vitest";
import {
  formatBytes,
  formatCompact,
  formatDuration,
  formatOffset,
  formatRelative,
  formatTime,
} from "./format";

test.each([
  [0, "0 ms"],
  [0.00002, "<0.1 ms"],
  [0.0042, "4.2 ms"],
  [0.35, "350 ms"],
  [0.9996, "1.00 s"],
  [1.239, "1.24 s"],
  [59.96, "1 m 00 s"],
  [123, "2 m 03 s"],
  [15_125, "4 h 12 m"],
  [273_600, "3 d 04 h"],
  [2_592_000, "30 d"],
])("%d seconds are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test.each([
  [0, 0.01, "0 ms"],
  [0.04, 0.01, "40 ms"],
  [0.0468, 0.0001, "46.8 ms"],
  [0.0466, 0.0002, "46.6 ms"],
  [0.046_82, 0.000_02, "46.82 ms"],
  [12.35, 0.05, "12.35 s"],
  [12, 1, "12.0 s"],
  [125, 0.5, "2 m 05 s"],
])("on a scale, %d with a step of %d is %s", (seconds, step, text) => {
  expect(formatOffset(seconds, step)).toBe(text);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 KB"],
  [123_456, "123 KB"],
  [5_000_000_000, "5.0 GB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("a time of today has no date, and one of another day has", () => {
  const now = new Date(2026, 10, 28, 15, 0, 0);
  expect(formatTime(new Date(2026, 10, 28, 14, 3, 22), now)).toBe("14:03:22");
  expect(formatTime(new Date(2026, 10, 27, 14, 3, 22), now)).toContain("27");
  expect(formatTime(new Date(2024, 10, 27, 14, 3, 22), now)).toContain("2024");
});

test("a distance has the largest unit that fits", () => {
  const now = new Date(2026, 10, 28, 15, 0, 0);
  expect(formatRelative(new Date(2026, 10, 28, 14, 57, 1), now)).toBe("2 minutes ago");
  expect(formatRelative(new Date(2026, 10, 30, 16, 0, 0), now)).toBe("in 2 days");
});

test("large numbers are short", () => {
  expect(formatCompact(950)).toBe("950");
  expect(formatCompact(12_345)).toBe("12.3K");
});
