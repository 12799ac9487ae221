import { describe, expect, test } from "vitest";
import { chartOf } from "./chart";
import { dropSpot } from "./drop_spots";
import { type Layout, layoutOf } from "./layout";
import { act, chart, choose, each } from "./samples";

const steps = [
  act("a"),
  choose("s", [act("b"), act("c")], []),
  each("e", act("d")),
  { id: "t", try: [act("f")], catch: [act("g")], finally: [act("h")] },
  { id: "p", parallel: { one: [act("i")], two: [] } },
  { id: "empty", try: [], catch: [], finally: [] },
  each("none"),
];
const onError = [act("j")];
const layout = layoutOf(chartOf({ trigger: { use: "webhook" }, steps, on_error: onError }, {}), new Set());

/** The middle of the upper or lower side of a step. */
function side(id: string, where: "top" | "bottom", within: Layout = layout) {
  const box = within.boxes.find(({ step }) => step.id === id);
  if (!box) throw new Error(`no ${id}`);
  return { x: box.x + box.width / 2, y: where === "top" ? box.y : box.y + box.height };
}

const dropped = (moved: string, at: { x: number; y: number }) => dropSpot(layout, moved, at)?.place;

describe("a step is dropped", () => {
  test.each([
    ["above the first one", "/steps/2", side("a", "top"), { list: "/steps", index: 0 }],
    [
      "between two steps of a branch",
      "/steps/0",
      side("c", "top"),
      { list: "/steps/1/switch/0/steps", index: 1 },
    ],
    [
      "at the end of a branch",
      "/steps/0",
      side("c", "bottom"),
      { list: "/steps/1/switch/0/steps", index: 2 },
    ],
    ["into the steps of an item", "/steps/0", side("d", "top"), { list: "/steps/2/steps", index: 0 }],
    [
      "behind the last step of an item",
      "/steps/0",
      side("d", "bottom"),
      { list: "/steps/2/steps", index: 1 },
    ],
    ["into a catch", "/steps/0", side("g", "top"), { list: "/steps/3/catch", index: 0 }],
    [
      "behind the steps of a finally",
      "/steps/0",
      side("h", "bottom"),
      { list: "/steps/3/finally", index: 1 },
    ],
    ["behind the steps for an error", "/steps/0", side("j", "bottom"), { list: "/on_error", index: 1 }],
  ])("%s", (_, moved, at, place) => {
    expect(dropped(moved, at)).toEqual(place);
  });

  test.each([
    "/steps/1/switch/1/steps",
    "/steps/1/switch/-/steps",
    "/steps/4/parallel/two",
    "/steps/5/try",
    "/steps/5/catch",
    "/steps/5/finally",
  ])("into the empty list %s", (list) => {
    const label = layout.labels.find((each) => each.list.pointer === list);
    if (!label) throw new Error("no label");
    const at = { x: label.x + label.width / 2, y: label.y + label.height };
    expect(dropped("/steps/0", at)).toEqual({ list, index: 0 });
  });

  test("into a foreach without steps", () => {
    expect(dropped("/steps/0", side("none", "bottom"))).toEqual({ list: "/steps/6/steps", index: 0 });
  });

  test("behind a block with empty branches, and not into one of them", () => {
    const empty = layoutOf(chart(act("a"), { id: "p", parallel: { one: [], two: [] } }, act("z")), new Set());
    const above = side("p", "top", empty);
    expect(dropSpot(empty, "/steps/2", { ...above, y: above.y - 5 })?.place).toEqual({
      list: "/steps",
      index: 1,
    });
    const [frame] = empty.frames;
    if (!frame) throw new Error("no frame");
    expect(dropSpot(empty, "/steps/0", { x: above.x, y: frame.y + frame.height })?.place).toEqual({
      list: "/steps",
      index: 2,
    });
  });

  test.each(["foreach", "on_error"])("behind a try with finally that is the last step of %s", (kind) => {
    const guarded = { id: "t", try: [act("b")], finally: [act("c")] };
    const flow =
      kind === "foreach"
        ? { steps: [act("a"), each("e", guarded)] }
        : { steps: [act("a")], on_error: [guarded] };
    const within = layoutOf(chartOf(flow, {}), new Set());
    const list = kind === "foreach" ? "/steps/1/steps" : "/on_error";
    const frame = within.frames.find(({ pointer }) => pointer === `${list}/0`);
    if (!frame) throw new Error("no frame");
    const at = { x: side("t", "top", within).x, y: frame.y + frame.height + 2 };
    expect(dropSpot(within, "/steps/0", at)?.place).toEqual({ list, index: 1 });
  });

  test("at the end of the flow", () => {
    const [end] = layout.terminals.filter(({ kind }) => kind === "end");
    if (!end) throw new Error("no end");
    const at = { x: end.x + end.width / 2, y: end.y };
    expect(dropped("/steps/0", at)).toEqual({ list: "/steps", index: 7 });
    expect(dropped("/steps/6", at)).toBeUndefined();
  });

  test("into a flow that has no other steps", () => {
    const within = layoutOf(chartOf({ steps: [], on_error: [act("a")] }, {}), new Set());
    const [end] = within.terminals.filter(({ kind }) => kind === "end");
    if (!end) throw new Error("no end");
    const at = { x: end.x + end.width / 2, y: end.y };
    expect(dropSpot(within, "/on_error/0", at)?.place).toEqual({ list: "/steps", index: 0 });
  });
});

test("no step is dropped behind one that ends the flow", () => {
  const within = layoutOf(chart(act("a"), { id: "no", use: "fail" }), new Set());
  expect(dropSpot(within, "/steps/0", side("no", "bottom", within))?.place).toBeUndefined();
});

test("a step isn't dropped where it is, into itself, or far from every line", () => {
  expect(dropped("/steps/0", side("a", "top"))).toBeUndefined();
  expect(dropped("/steps/0", side("a", "bottom"))).toBeUndefined();
  expect(dropped("/steps/1", side("c", "top"))).toBeUndefined();
  expect(dropped("/steps/1/switch/0/steps/1", side("c", "bottom"))).toBeUndefined();
  expect(dropped("/steps/0", { x: -1000, y: 0 })).toBeUndefined();
});
