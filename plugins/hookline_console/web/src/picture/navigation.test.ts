import { expect, test } from "vitest";
import { allSteps, type Chart, chartOf } from "./chart";
import { moved } from "./navigation";
import { act, choose, each } from "./samples";

const drawn: Chart = chartOf(
  {
    trigger: { use: "webhook" },
    steps: [
      act("first"),
      choose("s", [act("a1"), each("e", act("e1"), act("e2"))], [], [act("c1")]),
      act("last"),
    ],
    on_error: [act("failed")],
  },
  {},
);
const NOTHING: ReadonlySet<string> = new Set();
const pointers = new Map(allSteps(drawn).map((step) => [step.id, step.pointer]));
const ids = new Map(allSteps(drawn).map((step) => [step.pointer, step.id]));

function from(id: string, key: string, folded: ReadonlySet<string> = NOTHING): string | undefined {
  return ids.get(moved(drawn, folded, pointers.get(id) ?? "", key));
}

test("down goes on as an execution does", () => {
  const seen = ["first"];
  for (let at: string | undefined = "first"; at !== undefined && at !== from(at, "ArrowDown"); ) {
    at = from(at, "ArrowDown");
    seen.push(at ?? "");
  }
  expect(seen).toEqual(["first", "s", "a1", "e", "e1", "e2", "last"]);
});

test("up goes back the same way", () => {
  const seen = ["last"];
  for (let at: string | undefined = "last"; at !== undefined && at !== from(at, "ArrowUp"); ) {
    at = from(at, "ArrowUp");
    seen.push(at ?? "");
  }
  expect(seen).toEqual(["last", "e2", "e1", "e", "a1", "s", "first"]);
});

test.each([
  ["a1", "ArrowRight", "c1"],
  ["e2", "ArrowRight", "c1"],
  ["c1", "ArrowLeft", "a1"],
  ["a1", "ArrowLeft", "s"],
  ["e1", "ArrowLeft", "e"],
  ["first", "ArrowRight", "failed"],
  ["c1", "ArrowRight", "failed"],
  ["failed", "ArrowLeft", "first"],
  ["first", "ArrowLeft", "first"],
  ["first", "ArrowUp", "first"],
  ["a1", "End", "e"],
  ["last", "Home", "first"],
  ["a1", "x", "a1"],
])("from %s, %s leads to %s", (id, key, to) => {
  expect(from(id, key)).toBe(to);
});

test("a folded block is passed", () => {
  const folded = new Set([pointers.get("s") ?? ""]);
  expect(from("s", "ArrowDown", folded)).toBe("last");
  expect(from("last", "ArrowUp", folded)).toBe("s");
});

test("a place that is no step leads to the first step", () => {
  expect(moved(drawn, NOTHING, "/nowhere", "ArrowDown")).toBe("/steps/0");
});
