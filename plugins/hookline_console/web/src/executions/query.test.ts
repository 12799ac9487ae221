import { expect, test } from "vitest";
import { contentOf, listQuery, timeOf } from "./query";

const NOW = new Date("2026-01-31T12:00:00Z");

test("a period ends now, and a time is one of UTC", () => {
  expect(timeOf("24h", NOW)).toBe("2026-01-30T12:00:00.000Z");
  expect(timeOf("15m", NOW)).toBe("2026-01-31T11:45:00.000Z");
  expect(timeOf("2026-01-31T10:00:00+02:00", NOW)).toBe("2026-01-31T08:00:00.000Z");
  for (const wrong of ["", "soon", "5 h", "1y"]) expect(timeOf(wrong, NOW), wrong).toBeNull();
});

test("only filters with a value are sent, and contents are searched apart", () => {
  const values = { flow_id: "orders", state: "", since: "1h", until: "nonsense", text: "N-7", other: "x" };
  expect(listQuery(values, NOW)).toEqual({ flow_id: "orders", since: "2026-01-31T11:00:00.000Z" });
  expect(contentOf(values)).toEqual({ text: "N-7" });
  expect(contentOf({ flow_id: "orders" })).toBeNull();
});
