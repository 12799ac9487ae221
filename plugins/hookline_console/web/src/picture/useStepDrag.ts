import type { TargetedPointerEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Place } from "../document/edits";
import { type DropSpot, dropSpot } from "./drop_spots";
import type { Layout } from "./layout";
import { dragAfter, type StepDrag } from "./step_drag";
import type { View } from "./view";

export interface DraggedStep {
  /** The pointer of the step. */
  pointer: string;
  /** The place where it lands if it is dropped now; null if it stays. */
  spot: DropSpot | null;
}

type Event = TargetedPointerEvent<HTMLDivElement>;

/** Dragging a step with the mouse or a pen drops it at another place. Escape ends it. A finger moves the picture. */
export function useStepDrag(
  layout: Layout,
  view: View | null,
  onDrop: ((pointer: string, place: Place) => void) | undefined,
) {
  const [dragged, setDragged] = useState<DraggedStep | null>(null);
  const pressed = useRef<StepDrag | null>(null);
  const stop = () => {
    pressed.current = null;
    setDragged(null);
  };
  const isDragging = dragged !== null;
  useEffect(() => {
    if (!isDragging) return;
    const press = (event: KeyboardEvent) => event.key === "Escape" && stop();
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [isDragging]);
  return {
    dragged,
    onPointerDown: (event: Event) => {
      const pointer = (event.target as Element).closest<SVGElement>("[data-pointer]")?.dataset.pointer;
      if (onDrop) pressed.current = dragAfter(null, event, pointer);
    },
    onPointerMove: (event: Event) => {
      if (!pressed.current || !view) return;
      const drag = dragAfter(pressed.current, event, undefined);
      if (!drag) return stop();
      pressed.current = drag;
      if (!drag.moved) return;
      // From now on, moves outside the picture come here, too.
      event.currentTarget.setPointerCapture(event.pointerId);
      const bounds = event.currentTarget.getBoundingClientRect();
      const at = {
        x: view.x + (event.clientX - bounds.left) / view.scale,
        y: view.y + (event.clientY - bounds.top) / view.scale,
      };
      setDragged({ pointer: drag.pointer, spot: dropSpot(layout, drag.pointer, at) });
    },
    onPointerUp: () => {
      if (dragged?.spot) onDrop?.(dragged.pointer, dragged.spot.place);
      stop();
    },
    onPointerCancel: stop,
  };
}
