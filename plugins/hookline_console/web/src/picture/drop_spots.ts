/** Where a step may be dropped in a picture: above and below each step, and in each list that has none. */

import type { Place } from "../document/edits";
import { parentOf } from "../document/pointer";
import type { Box, Layout, Point, Rect } from "./layout";

export interface DropSpot {
  place: Place;
  at: Point;
}

/** A spot may be so far from the pointer that is dragged, in the units of the picture. */
const REACH = 120;

/** The nearest place to a point for a step that is dragged; null if there is none, or the step wouldn't move. */
export function dropSpot(layout: Layout, pointer: string, at: Point): DropSpot | null {
  let nearest: DropSpot | null = null;
  let least = REACH;
  for (const spot of spotsOf(layout)) {
    const far = Math.hypot(spot.at.x - at.x, spot.at.y - at.y);
    if (far < least) [nearest, least] = [spot, far];
  }
  return nearest && !stays(pointer, nearest.place) ? nearest : null;
}

function spotsOf(layout: Layout): DropSpot[] {
  const frames = new Map<string, Rect>(layout.frames.map((frame) => [frame.pointer, frame]));
  const empty = layout.labels.filter(({ list }) => list.steps.length === 0);
  return [
    ...layout.boxes.flatMap((box) => spotsAround(box, frames.get(box.step.pointer) ?? box)),
    ...empty.map((label) => ({ place: { list: label.list.pointer, index: 0 }, at: below(label) })),
    ...spotAtEnd(layout),
  ];
}

/** The places before a step and behind it. `outline`: the frame of a block that is unfolded. */
function spotsAround(box: Box, outline: Rect): DropSpot[] {
  const { step } = box;
  // The outline reaches further on one side than on the other, and the line goes through the box.
  const axis = { x: box.x, width: box.width };
  const spots: DropSpot[] = [
    { place: placeAt(step.pointer, 0), at: below({ ...outline, ...axis, height: 0 }) },
  ];
  // What is behind a step that ends the flow never runs.
  if (!step.ends) spots.push({ place: placeAt(step.pointer, 1), at: below({ ...outline, ...axis }) });
  // The list of a foreach has no label.
  const [list] = step.lists;
  if (list?.kind === "item" && list.steps.length === 0 && !box.folded)
    spots.push({ place: { list: list.pointer, index: 0 }, at: below(box) });
  return spots;
}

function spotAtEnd({ terminals, boxes, edges }: Layout): DropSpot[] {
  const end = terminals.find(({ kind }) => kind === "end");
  if (!end || !edges.some(({ to }) => to === "end")) return [];
  const places = boxes.map(({ step }) => placeAt(step.pointer, 1)).filter(({ list }) => list === "/steps");
  const index = Math.max(0, ...places.map((place) => place.index));
  return [{ place: { list: "/steps", index }, at: below({ ...end, height: 0 }) }];
}

function below({ x, y, width, height }: Rect): Point {
  return { x: x + width / 2, y: y + height };
}

/** The place of a step, or the one behind it. */
function placeAt(pointer: string, more: 0 | 1): Place {
  const list = parentOf(pointer);
  return { list, index: Number(pointer.slice(list.length + 1)) + more };
}

/** Whether a step that is dropped there is where it was, or in itself. */
function stays(pointer: string, { list, index }: Place): boolean {
  if (`${list}/`.startsWith(`${pointer}/`)) return true;
  const own = placeAt(pointer, 0);
  return list === own.list && (index === own.index || index === own.index + 1);
}
