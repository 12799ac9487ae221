import { expect, test } from "vitest";
import { codesOf, flowsOf } from "./reasons";

const reason = (flow_id: string, code: string, count: number) => ({
  flow_id,
  code,
  count,
  newest_at: "2026-11-28T10:00:00Z",
});
const REASONS = [
  reason("-", "flow.not_found", 7),
  reason("orders", "request.full", 2),
  reason("orders", "a.b", 3),
];
const UNKNOWN = { id: "-", label: "Unknown flows" };

test("each flow is offered once, with the number of its requests", () => {
  expect(flowsOf(REASONS, undefined, UNKNOWN)).toEqual([
    { value: "-", label: "Unknown flows (7)" },
    { value: "orders", label: "orders (5)" },
  ]);
});

test("the codes are those of the chosen flow", () => {
  expect(codesOf(REASONS, "orders", undefined).map((choice) => choice.value)).toEqual([
    "a.b",
    "request.full",
  ]);
  expect(codesOf(REASONS, undefined, undefined)).toHaveLength(3);
});

test("what is chosen stays in the list, also without any requests", () => {
  expect(codesOf(REASONS, "orders", "gone")).toContainEqual({ value: "gone", label: "gone (0)" });
  expect(flowsOf([], "payments", UNKNOWN)).toEqual([{ value: "payments", label: "payments (0)" }]);
});
