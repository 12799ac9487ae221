import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

type Draw = (close: () => void) => ComponentChildren;

let show: (draw: Draw) => void = () => {};

/** Open a dialog that belongs to no page, such as that of a button on a message. */
export function openDialog(draw: Draw): void {
  show(draw);
}

/** The dialog that was opened by `openDialog`, until it is closed. */
export function OpenedDialog() {
  const [draw, setDraw] = useState<Draw | null>(null);
  useEffect(() => {
    show = (opened) => setDraw(() => opened);
    return () => {
      show = () => {};
    };
  }, []);
  return <>{draw?.(() => setDraw(null))}</>;
}
