import { expect, test } from "vitest";
import { allSteps, type Chart } from "./chart";
import { type Edge, layoutOf } from "./layout";
import { act, chart, choose, each } from "./samples";
import { failedAt, type RanStep, traceOf } from "./trace";

function ran(...steps: readonly string[]): RanStep[] {
  return steps.map((step) => {
    const [id = "", state = "succeeded"] = step.split(":");
    return { id, state };
  });
}

/** The edges that were taken, such as "a>b"; "-" is a place where lists join. */
function taken(drawn: Chart, steps: readonly RanStep[], succeeded: boolean): string[] {
  const names = new Map(allSteps(drawn).map((step) => [step.pointer, step.id]));
  const name = (pointer: string | null) => (pointer === null ? "-" : (names.get(pointer) ?? pointer));
  const trace = traceOf(drawn, steps, succeeded);
  const text = (edge: Edge) => `${name(edge.from)}>${name(edge.to)}`;
  return [...new Set(layoutOf(drawn, new Set()).edges.filter(trace.took).map(text))].filter(
    (each) => !each.startsWith(">"),
  );
}

test("a path ends where the execution failed", () => {
  const drawn = chart(act("a"), act("b"), act("c"));
  expect(taken(drawn, ran("a", "b:failed"), false)).toEqual(["trigger>a", "a>b"]);
  expect(taken(drawn, ran("a", "b:skipped", "c"), true)).toEqual(["trigger>a", "a>b", "b>c", "c>end"]);
});

test("a path goes on after a failure that the flow allows", () => {
  const drawn = chart(act("a", { on_error: "continue" }), act("b"));
  expect(taken(drawn, ran("a:failed", "b"), true)).toContain("a>b");
});

test("of a switch, the case that held is on the path", () => {
  const drawn = chart(choose("s", [act("a")], [act("b")]), act("c"));
  const found = taken(drawn, ran("s", "b", "c"), true);
  expect(found).toContain("s>b");
  expect(found).not.toContain("s>a");
});

test.each([
  [["s", "c"], true],
  [["s", "a", "c"], false],
  [["s:failed"], false],
])("after %j, the empty case of a switch is on the path: %s", (steps, expected) => {
  const drawn = chart(choose("s", [act("a")]), act("c"));
  const trace = traceOf(drawn, ran(...steps), steps.includes("c"));
  const inside = layoutOf(drawn, new Set()).edges.filter((edge) => edge.list === "/steps/0/switch/-/steps");
  expect(inside.map(trace.took)).toEqual([expected, expected]);
});

test("of several items, the one that failed is shown", () => {
  const drawn = chart(each("e", act("a")));
  const trace = traceOf(drawn, ran("a", "a:failed", "a:skipped"), false);
  expect(trace.states.get("/steps/0/steps/0")).toBe("failed");
});

test("a block whose steps have begun has begun", () => {
  const drawn = chart(each("e", choose("s", [act("a")])), act("b"));
  const trace = traceOf(drawn, ran("a:waiting"), false);
  expect([trace.states.get("/steps/0"), trace.states.get("/steps/1")]).toEqual(["started", undefined]);
});

test("a step that failed before it began is named by the error of its execution", () => {
  expect(failedAt("lines[3]/post")).toEqual([{ id: "post", state: "failed" }]);
  expect(failedAt(null)).toEqual([]);
});
