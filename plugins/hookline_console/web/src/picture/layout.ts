/**
 * The places of the parts of a picture: steps from top to bottom, the lists of a block side by side, and a frame around
 * each block. Steps are a tree, so no two lines cross.
 */

import type { Chart, ChartList, ChartStep } from "./chart";
import { isBlock } from "./folding";

export interface Point {
  x: number;
  y: number;
}

export interface Rect extends Point {
  width: number;
  height: number;
}

export interface Box extends Rect {
  step: ChartStep;
  folded: boolean;
}

/** The round ends of the picture. */
export interface Terminal extends Rect {
  kind: "trigger" | "end" | "error";
}

export interface Frame extends Rect {
  /** The pointer of its block, or of the list of a `try`. */
  pointer: string;
  kind: ChartStep["kind"] | "catch" | "finally" | "error";
  /** How many frames are around it. */
  depth: number;
}

/** A label at the beginning of a list. */
export interface Label extends Rect {
  list: ChartList;
}

export interface Edge {
  points: readonly Point[];
  arrow: boolean;
  /** What leads along it: the flow, a failure, or the way back for the next item. */
  kind: "flow" | "failure" | "back";
  /** The pointer of the step that it leaves, or `trigger`. */
  from: string;
  /** The pointer of the step to which it leads, or `end`; null if it joins others behind a block. */
  to: string | null;
  /** The pointer of the list that it enters or leaves. */
  list?: string;
}

export interface Layout {
  width: number;
  height: number;
  boxes: readonly Box[];
  terminals: readonly Terminal[];
  frames: readonly Frame[];
  labels: readonly Label[];
  edges: readonly Edge[];
}

export const BOX_WIDTH = 248;
export const BOX_HEIGHT = 52;
/** The additional height of a box that shows a condition. */
export const NOTE_HEIGHT = 20;
const TERMINAL: Readonly<Record<Terminal["kind"], readonly [number, number]>> = {
  trigger: [168, 34],
  end: [64, 26],
  error: [168, 34],
};
const GAP = 26;
const BESIDE = 28;
const PAD = 16;
/** The width of a list without steps. */
const EMPTY_WIDTH = 150;
const LABEL_HEIGHT = 24;
const LABEL_GAP = 10;
const MARGIN = 24;

interface Shapes {
  boxes: Box[];
  terminals: Terminal[];
  frames: Frame[];
  labels: Label[];
  edges: Edge[];
}

/** A part of the picture, relative to its axis: it is entered at the top of the axis, and left at the bottom. */
interface Part extends Shapes {
  left: number;
  right: number;
  height: number;
  /** The step that is entered first; null if there is none. */
  first: string | null;
  /** The step that is left last. */
  last: string | null;
  /** False if no step runs after it. */
  open: boolean;
  /** True if it begins with a frame or a label, so that the arrow is behind it. */
  arrowInside: boolean;
}

/** The picture of a chart. `folded`: the pointers of the blocks whose steps aren't shown. */
export function layoutOf(chart: Chart, folded: ReadonlySet<string>): Layout {
  const main = stack([
    terminal("trigger"),
    ...chart.steps.map((step) => partOf(step, folded, 0)),
    terminal("end"),
  ]);
  if (chart.onError.length > 0 || chart.onErrorFlow !== undefined) {
    const steps = chart.onError.map((step) => partOf(step, folded, 1));
    const failed = framed(stack([terminal("error"), ...steps]), "/on_error", "error", 0);
    put(main, main.right + BESIDE + failed.left, 0, failed);
  }
  const x = main.left + MARGIN;
  const shown = shifted(main, x, MARGIN);
  return { width: main.left + main.right + 2 * MARGIN, height: main.height + 2 * MARGIN, ...shown };
}

function partOf(step: ChartStep, folded: ReadonlySet<string>, depth: number): Part {
  const isFolded = folded.has(step.pointer);
  const head = boxOf(step, isFolded);
  if (!isBlock(step) || isFolded) return head;
  const inner = (list: ChartList) => stack(list.steps.map((each) => partOf(each, folded, depth + 1)));
  switch (step.kind) {
    case "foreach":
      return framed(repeated(step, head, inner), step.pointer, step.kind, depth);
    case "try":
      return framed(guarded(step, head, inner, depth), step.pointer, step.kind, depth);
    default:
      return framed(forked(step, head, inner), step.pointer, step.kind, depth);
  }
}

/** Parts one below the other, with an arrow between them. */
function stack(parts: readonly Part[]): Part {
  const made = empty();
  parts.forEach((part, index) => {
    const before = parts[index - 1];
    if (before !== undefined) {
      if (before.open) {
        made.edges.push(into(part, before.last, [0, made.height], [0, made.height + GAP]));
      }
      made.height += GAP;
    }
    put(made, 0, made.height, part);
    if (index === 0) made.arrowInside = part.arrowInside;
    made.first ??= part.first;
    made.last = part.last;
    made.open = part.open;
  });
  return made;
}

/** The lists of a switch or a parallel side by side, below the box from which a line leads to each. */
function forked(step: ChartStep, head: Part, inner: (list: ChartList) => Part): Part {
  const made = opened(head, step);
  const lanes = step.lists.map((list) => laneOf(list, inner(list)));
  const widths = lanes.map((lane) => lane.left + lane.right);
  const fork = head.height + GAP / 2;
  const top = head.height + GAP;
  const bottom = top + Math.max(...lanes.map((lane) => lane.height));
  const join = bottom + GAP / 2;
  let x = -(sum(widths) + BESIDE * (lanes.length - 1)) / 2;
  // A lane that is nearly below the box is moved below it, so that the line to it is straight.
  const axes = lanes.map((lane, index) => x + sum(widths.slice(0, index)) + BESIDE * index + lane.left);
  x -= axes.find((axis) => Math.abs(axis) < BESIDE) ?? 0;
  lanes.forEach((lane, index) => {
    const axis = x + lane.left;
    const list = step.lists[index]?.pointer ?? "";
    put(made, axis, top, lane);
    made.edges.push({
      ...into(lane, step.pointer, [0, head.height], [0, fork], [axis, fork], [axis, top]),
      list,
    });
    if (lane.open) {
      const from = lane.last ?? step.pointer;
      made.edges.push({ ...out(from, [axis, top + lane.height], [axis, join], [0, join]), list });
    }
    x += lane.left + lane.right + BESIDE;
  });
  made.height = join;
  made.open = lanes.some((lane) => lane.open);
  return made;
}

/** A list with its label above it. An empty one is only a line. */
function laneOf(list: ChartList, steps: Part): Part {
  const made = empty();
  const width = steps.height === 0 ? EMPTY_WIDTH : BOX_WIDTH;
  made.labels.push({ x: -width / 2, y: 0, width, height: LABEL_HEIGHT, list });
  made.left = made.right = width / 2;
  made.height = LABEL_HEIGHT;
  made.first = steps.first;
  made.last = steps.last;
  made.arrowInside = true;
  if (steps.height === 0) return made;
  const top = LABEL_HEIGHT + LABEL_GAP;
  made.edges.push({ ...into(steps, null, [0, LABEL_HEIGHT], [0, top]), list: list.pointer });
  put(made, 0, top, steps);
  made.open = steps.open;
  return made;
}

/** The steps of a `foreach` below its box, with a line back to it. */
function repeated(step: ChartStep, head: Part, inner: (list: ChartList) => Part): Part {
  const made = opened(head, step);
  const list = step.lists[0];
  const steps = list === undefined ? empty() : inner(list);
  const top = head.height + GAP;
  put(made, 0, top, steps);
  made.edges.push({
    ...into(steps, step.pointer, [0, head.height], [0, top]),
    ...(list && { list: list.pointer }),
  });
  if (steps.open) {
    const side = -made.left - PAD / 2;
    const bottom = made.height;
    const middle = BOX_HEIGHT / 2;
    const back = out(
      steps.last,
      [0, bottom],
      [0, bottom + PAD / 2],
      [side, bottom + PAD / 2],
      [side, middle],
      [-head.left, middle],
    );
    made.edges.push({ ...back, to: step.pointer, arrow: true, kind: "back" });
    made.left += PAD / 2;
    made.height += PAD / 2;
  }
  // After the last item the flow goes on, even if the steps of an item end early.
  return made;
}

/** The steps of a `try`, with those of `catch` beside them, and those of `finally` below both. */
function guarded(step: ChartStep, head: Part, inner: (list: ChartList) => Part, depth: number): Part {
  const made = opened(head, step);
  const [body, caught, last] = (["try", "catch", "finally"] as const).map((kind) => {
    const list = step.lists.find((each) => each.kind === kind);
    return list && framed(laneOf(list, inner(list)), list.pointer, kind, depth + 1);
  });
  let top = head.height + GAP;
  const join = (part: Part, axis: number, to: number) => {
    if (!part.open) return;
    const end: [number, number][] =
      axis === 0
        ? [[0, to]]
        : [
            [axis, to],
            [0, to],
          ];
    made.edges.push(out(part.last, [axis, top + part.height], ...end));
  };
  made.open = false;
  if (body) {
    put(made, 0, top, body);
    made.edges.push(into(body, step.pointer, [0, head.height], [0, top]));
    const bottom = top + Math.max(body.height, caught?.height ?? 0) + GAP / 2;
    if (caught) {
      const axis = body.right + BESIDE + caught.left;
      put(made, axis, top, caught);
      const failing = top + PAD;
      const failure = into(caught, step.pointer, [body.right, failing], [axis - caught.left, failing]);
      made.edges.push({ ...failure, arrow: true, kind: "failure" });
      join(caught, axis, bottom);
    }
    join(body, 0, bottom);
    made.open = body.open || (caught?.open ?? false);
    made.height = bottom;
  }
  if (last) {
    top = made.height + GAP / 2;
    made.edges.push(into(last, body?.last ?? step.pointer, [0, made.height], [0, top]));
    put(made, 0, top, last);
    made.last = last.last;
    made.open = made.open && last.open;
  }
  return made;
}

function framed(part: Part, pointer: string, kind: Frame["kind"], depth: number): Part {
  const made = empty();
  put(made, 0, PAD, part);
  made.left += PAD;
  made.right += PAD;
  made.height += PAD;
  made.frames.unshift({
    x: -made.left,
    y: 0,
    width: made.left + made.right,
    height: made.height,
    pointer,
    kind,
    depth,
  });
  // A failure enters from the side.
  if (kind !== "catch") made.edges.push(into(part, null, [0, 0], [0, PAD]));
  if (part.open) {
    made.edges.push(out(part.last, [0, PAD + part.height], [0, made.height]));
  }
  return Object.assign(made, { first: part.first, last: part.last, open: part.open, arrowInside: true });
}

function boxOf(step: ChartStep, folded: boolean): Part {
  const height = BOX_HEIGHT + (step.when === undefined ? 0 : NOTE_HEIGHT);
  const box = { x: -BOX_WIDTH / 2, y: 0, width: BOX_WIDTH, height, step, folded };
  const half = BOX_WIDTH / 2;
  const { pointer } = step;
  return {
    ...empty(),
    left: half,
    right: half,
    height,
    boxes: [box],
    first: pointer,
    last: pointer,
    open: !step.ends,
  };
}

function terminal(kind: Terminal["kind"]): Part {
  const [width, height] = TERMINAL[kind];
  const shape = { kind, x: -width / 2, y: 0, width, height };
  const part = { ...empty(), left: width / 2, right: width / 2, height, terminals: [shape] };
  return { ...part, first: kind, last: kind };
}

function empty(): Part {
  const shapes = { boxes: [], terminals: [], frames: [], labels: [], edges: [] };
  return { left: 0, right: 0, height: 0, first: null, last: null, open: true, arrowInside: false, ...shapes };
}

/** A part that begins with the box of a block. */
function opened(head: Part, step: ChartStep): Part {
  const made = empty();
  put(made, 0, 0, head);
  return Object.assign(made, { first: step.pointer, last: step.pointer });
}

/** Add a part, and grow around it. */
function put(made: Part, x: number, y: number, part: Part): void {
  const moved = shifted(part, x, y);
  made.boxes.push(...moved.boxes);
  made.terminals.push(...moved.terminals);
  made.frames.push(...moved.frames);
  made.labels.push(...moved.labels);
  made.edges.push(...moved.edges);
  made.left = Math.max(made.left, part.left - x);
  made.right = Math.max(made.right, part.right + x);
  made.height = Math.max(made.height, y + part.height);
}

function shifted(shapes: Shapes, dx: number, dy: number): Shapes {
  const move = <T extends Point>(shape: T): T => ({ ...shape, x: shape.x + dx, y: shape.y + dy });
  return {
    boxes: shapes.boxes.map(move),
    terminals: shapes.terminals.map(move),
    frames: shapes.frames.map(move),
    labels: shapes.labels.map(move),
    edges: shapes.edges.map((edge) => ({ ...edge, points: edge.points.map(move) })),
  };
}

/** The edge that enters a part. */
function into(part: Part, from: string | null, ...points: readonly [number, number][]): Edge {
  return { ...out(from, ...points), to: part.first, arrow: part.first !== null && !part.arrowInside };
}

/** The edge that leaves a step, toward those of other lists. */
function out(from: string | null, ...points: readonly [number, number][]): Edge {
  return {
    from: from ?? "",
    to: null,
    points: points.map(([x, y]) => ({ x, y })),
    arrow: false,
    kind: "flow",
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, each) => total + each, 0);
}

/** The `d` of an edge, with round corners. */
export function pathOf(points: readonly Point[], radius = 8): string {
  const [first, ...rest] = withoutRepeats(points);
  if (first === undefined) return "";
  let path = `M${first.x} ${first.y}`;
  rest.forEach((corner, index) => {
    const before = index === 0 ? first : (rest[index - 1] as Point);
    const after = rest[index + 1];
    if (after === undefined) {
      path += `L${corner.x} ${corner.y}`;
      return;
    }
    const turn = Math.min(radius, distance(before, corner) / 2, distance(corner, after) / 2);
    const enter = toward(corner, before, turn);
    const leave = toward(corner, after, turn);
    path += `L${enter.x} ${enter.y}Q${corner.x} ${corner.y} ${leave.x} ${leave.y}`;
  });
  return path;
}

function withoutRepeats(points: readonly Point[]): Point[] {
  return points.filter((point, index) => {
    const before = points[index - 1];
    return before === undefined || before.x !== point.x || before.y !== point.y;
  });
}

function distance(one: Point, other: Point): number {
  return Math.hypot(other.x - one.x, other.y - one.y);
}

function toward(from: Point, to: Point, length: number): Point {
  const whole = distance(from, to) || 1;
  return {
    x: from.x + ((to.x - from.x) * length) / whole,
    y: from.y + ((to.y - from.y) * length) / whole,
  };
}
