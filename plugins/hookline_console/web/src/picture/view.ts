/** The view of a picture: which part of it is seen, and how large. */

import type { Layout, Point, Rect } from "./layout";

export interface View {
  /** The point of the picture in the top left corner. */
  x: number;
  y: number;
  /** Pixels for each unit of the picture. */
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

export const SMALLEST = 0.1;
export const LARGEST = 2;
/** Below this scale, texts can't be read. */
const LEGIBLE = 0.6;
const AROUND = 48;

/** The whole picture, in the middle; not larger than it is. */
export function fitted(picture: Size, window: Size): View {
  const scale = clamp(Math.min(window.width / picture.width, window.height / picture.height), SMALLEST, 1);
  return {
    x: (picture.width - window.width / scale) / 2,
    y: Math.min(0, (picture.height - window.height / scale) / 2),
    scale,
  };
}

/** The view with which a picture opens: all of it if its texts can be read then, and its beginning otherwise. */
export function opening(picture: Size, window: Size, axis: number): View {
  const whole = fitted(picture, window);
  if (whole.scale >= LEGIBLE) return whole;
  const scale = clamp(window.width / picture.width, LEGIBLE, 1);
  const fits = picture.width * scale <= window.width;
  return { x: (fits ? picture.width / 2 : axis) - window.width / scale / 2, y: 0, scale };
}

/** The view after zooming, in which the point of the window shows the same point of the picture. */
export function zoomed(view: View, at: Point, factor: number): View {
  const scale = clamp(view.scale * factor, SMALLEST, LARGEST);
  return {
    x: view.x + at.x / view.scale - at.x / scale,
    y: view.y + at.y / view.scale - at.y / scale,
    scale,
  };
}

/** The view after moving the picture by so many pixels. Some of the picture stays in the window. */
export function panned(view: View, dx: number, dy: number, picture: Size, window: Size): View {
  return within({ ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale }, picture, window);
}

/** The view moved so that a point of the picture is in the middle. */
export function centred(view: View, at: Point, picture: Size, window: Size): View {
  const x = at.x - window.width / view.scale / 2;
  const y = at.y - window.height / view.scale / 2;
  return within({ ...view, x, y }, picture, window);
}

/** The view moved as little as needed to show a part of the picture. */
export function revealing(view: View, part: Rect, window: Size): View {
  return {
    ...view,
    x: nearest(view.x, part.x, part.width, window.width, view.scale),
    y: nearest(view.y, part.y, part.height, window.height, view.scale),
  };
}

/** The view after the picture has changed, in which the step in the middle stays where it is. */
export function kept(view: View, before: Layout, after: Layout, window: Size): View {
  const part = seen(view, window);
  const middle = { x: part.x + part.width / 2, y: part.y + part.height / 2 };
  const places = new Map(after.boxes.map((box) => [box.step.pointer, box]));
  let moved = { x: 0, y: 0 };
  let nearest = Number.POSITIVE_INFINITY;
  for (const { step, x, y, width, height } of before.boxes) {
    const now = places.get(step.pointer);
    const distance = Math.hypot(x + width / 2 - middle.x, y + height / 2 - middle.y);
    if (now === undefined || distance >= nearest) continue;
    nearest = distance;
    moved = { x: now.x - x, y: now.y - y };
  }
  return { ...view, x: view.x + moved.x, y: view.y + moved.y };
}

/** The part of the picture that is seen. */
export function seen(view: View, window: Size): Rect {
  return { x: view.x, y: view.y, width: window.width / view.scale, height: window.height / view.scale };
}

function nearest(from: number, start: number, length: number, window: number, scale: number): number {
  const around = Math.min(AROUND, Math.max(0, (window - length * scale) / 2)) / scale;
  const most = start - around;
  const least = start + length + around - window / scale;
  return Math.max(Math.min(from, most), Math.min(least, most));
}

function within(view: View, picture: Size, window: Size): View {
  const margin = AROUND / view.scale;
  return {
    ...view,
    x: clamp(view.x, margin - window.width / view.scale, picture.width - margin),
    y: clamp(view.y, margin - window.height / view.scale, picture.height - margin),
  };
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
