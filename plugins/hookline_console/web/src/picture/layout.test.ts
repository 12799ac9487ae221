import { describe, expect, test } from "vitest";
import { allSteps, type Chart, chartOf } from "./chart";
import { type Layout, layoutOf, pathOf, type Rect } from "./layout";
import { act, chart, choose, each, large } from "./samples";

const guarded = { id: "safe", try: [act("t")], catch: [act("c")], finally: [act("f")] };
const both = { id: "both", parallel: { one: [act("p")], two: [act("q"), act("r")] } };
const CHARTS: readonly [string, Chart][] = [
  ["no steps", chart()],
  ["a row of steps", chart(act("a"), act("b", { when: "$.body.x" }), act("c"))],
  ["a switch", chart(choose("s", [act("a"), act("b")], []), act("c"))],
  ["a foreach", chart(each("e", act("a")), act("b"))],
  ["a parallel", chart(both)],
  ["a try", chart(guarded, act("z"))],
  ["a try without a catch", chart({ id: "safe", try: [act("t")], finally: [act("f")] })],
  ["blocks in blocks", chart(choose("s", [each("e", both, guarded)], [guarded]), act("z"))],
  ["an error handler", chartOf({ trigger: { use: "webhook" }, steps: [act("a")], on_error: [act("b")] }, {})],
  ["five steps", large(5)],
  ["two hundred steps", large(200)],
];
const NOTHING: ReadonlySet<string> = new Set();

function overlaps(one: Rect, other: Rect): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  );
}

function contains(outer: Rect, inner: Rect): boolean {
  return (
    outer.x <= inner.x &&
    outer.y <= inner.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  );
}

function shapes(layout: Layout): Rect[] {
  return [...layout.boxes, ...layout.terminals, ...layout.labels];
}

describe.each(CHARTS)("the picture of %s", (_, drawn) => {
  const layout = layoutOf(drawn, NOTHING);

  test("has a box for each step", () => {
    expect(layout.boxes.map((box) => box.step.pointer)).toEqual(allSteps(drawn).map((step) => step.pointer));
  });

  test("has no shapes that overlap", () => {
    const all = shapes(layout);
    const pairs = all.flatMap((one, index) => all.slice(index + 1).map((other) => [one, other] as const));
    expect(pairs.filter(([one, other]) => overlaps(one, other))).toEqual([]);
  });

  test("is as large as what is in it", () => {
    const whole = { x: 0, y: 0, width: layout.width, height: layout.height };
    for (const shape of [...shapes(layout), ...layout.frames]) expect(contains(whole, shape)).toBe(true);
    for (const { points } of layout.edges)
      for (const { x, y } of points) expect(contains(whole, { x, y, width: 0, height: 0 })).toBe(true);
  });

  test("has frames that are in one another or beside one another", () => {
    const pairs = layout.frames.flatMap((one) => layout.frames.map((other) => [one, other] as const));
    const crossing = pairs.filter(
      ([one, other]) => overlaps(one, other) && !contains(one, other) && !contains(other, one),
    );
    expect(crossing).toEqual([]);
  });

  test("has a block's steps in its frame", () => {
    const pairs = layout.frames.flatMap((frame) => layout.boxes.map((box) => ({ frame, box })));
    const wrong = pairs.filter(
      ({ frame, box }) => contains(frame, box) !== `${box.step.pointer}/`.startsWith(`${frame.pointer}/`),
    );
    expect(wrong).toEqual([]);
  });

  test("has lines that lead from top to bottom, except the way back", () => {
    for (const { kind, points } of layout.edges)
      if (kind === "flow") {
        const heights = points.map(({ y }) => y);
        expect(heights).toEqual([...heights].sort((one, other) => one - other));
      }
  });

  test("has lines between steps that exist", () => {
    const known = new Set(["", "trigger", "end", "error", ...layout.boxes.map((box) => box.step.pointer)]);
    for (const { from, to } of layout.edges) {
      expect(known).toContain(from);
      expect(known).toContain(to ?? "");
    }
  });
});

test("a folded block is one box", () => {
  const drawn = chart(choose("s", [act("a")], [act("b")]), act("c"));
  const layout = layoutOf(drawn, new Set(["/steps/0"]));
  expect(layout.boxes.map((box) => [box.step.id, box.folded])).toEqual([
    ["s", true],
    ["c", false],
  ]);
  expect(layout.frames).toEqual([]);
});

test("nothing leads on from a step that ends the flow", () => {
  const layout = layoutOf(chart(act("a"), { id: "no", use: "fail" }), NOTHING);
  expect(layout.edges.map(({ from, to }) => [from, to])).toEqual([
    ["trigger", "/steps/0"],
    ["/steps/0", "/steps/1"],
  ]);
});

test("a path has round corners, and no more than its points allow", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 0, y: 20 },
    { x: 0, y: 20 },
    { x: 6, y: 20 },
  ];
  expect(pathOf(points)).toBe("M0 0L0 17Q0 20 3 20L6 20");
  expect(pathOf([])).toBe("");
});
