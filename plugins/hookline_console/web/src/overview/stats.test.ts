import { expect, test } from "vitest";
import { quantile, queryOf, type Stats, type StatsItem, seriesOf, totalOf } from "./stats";

const item = (at: string, more: Partial<StatsItem>): StatsItem => ({
  at,
  accepted: 0,
  rejected: 0,
  succeeded: 0,
  failed: 0,
  cancelled: 0,
  queue_age: 0,
  latency: [0, 0, 0],
  ...more,
});

const stats = (items: StatsItem[]): Stats => ({
  step: "1m",
  since: "2026-11-28T10:00:00Z",
  until: "2026-11-28T10:05:00Z",
  bounds: [0.1, 1],
  items,
});

test("minutes in which nothing happened are zeros", () => {
  const series = seriesOf(stats([item("2026-11-28T10:02:00Z", { accepted: 7 })]));
  expect(series.times).toHaveLength(6);
  expect(series.accepted).toEqual([0, 0, 7, 0, 0, 0]);
  expect(series.p50).toEqual([null, null, null, null, null, null]);
});

test("a long range has few points, and they lose nothing", () => {
  const items = Array.from({ length: 24 * 60 }, (_, minute) =>
    item(new Date(Date.UTC(2026, 10, 28, 0, minute)).toISOString(), { accepted: 1, queue_age: minute }),
  );
  const series = seriesOf({ ...stats(items), since: "2026-11-28T00:00:00Z", until: "2026-11-28T23:59:59Z" });
  expect(series.times.length).toBeLessThanOrEqual(120);
  expect(series.accepted.reduce((sum, count) => sum + count)).toBe(24 * 60);
  expect(Math.max(...series.queueAge)).toBe(24 * 60 - 1);
});

test("totals add counts and buckets, and keep the largest age", () => {
  const total = totalOf(
    stats([
      item("2026-11-28T10:00:00Z", { failed: 1, queue_age: 3, latency: [1, 0, 0] }),
      item("2026-11-28T10:01:00Z", { failed: 2, queue_age: 2, latency: [0, 4, 1] }),
    ]),
  );
  expect(total).toMatchObject({ failed: 3, queue_age: 3, latency: [1, 4, 1] });
});

test.each([
  [[0, 0, 0], 0.5, null],
  [[10, 0, 0], 0.5, 0.05],
  [[0, 10, 0], 1, 1],
  [[0, 0, 3], 0.5, 1],
  [[90, 10, 0], 0.95, 0.55],
])("of %j, the quantile %d is %d", (counts, part, value) => {
  const found = quantile([0.1, 1], counts, part);
  if (value === null) expect(found).toBeNull();
  else expect(found).toBeCloseTo(value);
});

test("a day is asked for by minutes, and a week by hours", () => {
  const now = new Date("2026-11-28T10:00:00Z");
  expect(queryOf("24h", now)).toEqual({ since: "2026-11-27T10:00:00.000Z", step: "1h" });
  expect(queryOf("7d", now).step).toBe("1h");
});
