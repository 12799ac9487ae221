import { expect, test } from "vitest";
import { layoutOf } from "./layout";
import { act, chart, choose } from "./samples";
import { centred, fitted, kept, opening, panned, revealing, seen, zoomed } from "./view";

const window = { width: 800, height: 600 };
const small = { width: 400, height: 300 };
const tall = { width: 400, height: 12_000 };

test("a small picture is in the middle, at its size", () => {
  expect(fitted(small, window)).toEqual({ x: -200, y: -150, scale: 1 });
});

test("a tall picture fits, but opens at its beginning where it can be read", () => {
  expect(fitted({ width: 400, height: 1200 }, window).scale).toBe(0.5);
  expect(opening(tall, window, 200)).toEqual({ x: -200, y: 0, scale: 1 });
});

test("a wide picture opens at the axis of the flow", () => {
  const view = opening({ width: 8000, height: 1000 }, window, 3000);
  expect(view.scale).toBeCloseTo(0.6);
  expect(view.x + window.width / view.scale / 2).toBeCloseTo(3000);
});

test("zooming keeps the point under the pointer", () => {
  const view = { x: 10, y: 20, scale: 1 };
  const at = { x: 100, y: 50 };
  const nearer = zoomed(view, at, 1.5);
  expect([nearer.x + at.x / nearer.scale, nearer.y + at.y / nearer.scale]).toEqual([110, 70]);
  expect(zoomed(view, at, 100).scale).toBe(2);
  expect(zoomed(view, at, 0.0001).scale).toBe(0.1);
});

test("a picture can't be moved out of the window", () => {
  const view = { x: 0, y: 0, scale: 1 };
  expect(panned(view, -10, -20, small, window)).toEqual({ x: 10, y: 20, scale: 1 });
  expect(panned(view, -9999, 9999, small, window)).toEqual({ x: 352, y: -552, scale: 1 });
});

test("a part is shown with as little movement as possible", () => {
  const view = { x: 0, y: 0, scale: 1 };
  expect(revealing(view, { x: 100, y: 100, width: 200, height: 50 }, window)).toEqual(view);
  expect(revealing(view, { x: 0, y: 1000, width: 200, height: 50 }, window)).toEqual({
    x: -48,
    y: 498,
    scale: 1,
  });
});

test("a point can be moved into the middle", () => {
  const view = centred({ x: 0, y: 0, scale: 1 }, { x: 200, y: 6000 }, tall, window);
  expect(seen(view, window)).toEqual({ x: -200, y: 5700, width: 800, height: 600 });
});

test("what is in the middle stays there when a block is unfolded", () => {
  const drawn = chart(act("a"), choose("s", [act("b"), act("c")], [act("d")]), act("e"));
  const folded = layoutOf(drawn, new Set(["/steps/1"]));
  const unfolded = layoutOf(drawn, new Set());
  const place = (layout: typeof folded) => layout.boxes.find((box) => box.step.id === "s") ?? { x: 0, y: 0 };
  const before = { x: 0, y: place(folded).y - 280, scale: 1 };
  const after = kept(before, folded, unfolded, window);
  expect(place(unfolded).x - after.x).toBe(place(folded).x - before.x);
  expect(place(unfolded).y - after.y).toBe(place(folded).y - before.y);
});
