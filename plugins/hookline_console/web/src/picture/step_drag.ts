/** When a press on a step is a drag of it. */

import type { Point } from "./layout";

/** Pixels after which a press is a drag. */
const SLACK = 6;

export interface StepDrag {
  /** The pointer of the step. */
  pointer: string;
  /** Where it was pressed, in the window. */
  from: Point;
  /** False while it may still become a click. */
  moved: boolean;
}

type Pressed = Pick<
  PointerEvent,
  "type" | "button" | "buttons" | "ctrlKey" | "pointerType" | "clientX" | "clientY"
>;

/** The drag after an event of the mouse or a pen; null if there is none. `pointer`: that of the step below it. */
export function dragAfter(
  before: StepDrag | null,
  event: Pressed,
  pointer: string | undefined,
): StepDrag | null {
  const at = { x: event.clientX, y: event.clientY };
  if (event.type === "pointerdown") {
    // On a Mac, Ctrl and a click open a menu, and a finger moves the picture.
    const isDrag = event.button === 0 && !event.ctrlKey && event.pointerType !== "touch";
    return isDrag && pointer !== undefined ? { pointer, from: at, moved: false } : null;
  }
  // The end of a press may have gone to a menu or to another window.
  if (!before || event.type !== "pointermove" || (event.buttons & 1) === 0) return null;
  const moved = before.moved || Math.hypot(at.x - before.from.x, at.y - before.from.y) >= SLACK;
  return { ...before, moved };
}
