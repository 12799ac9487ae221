import type { TargetedPointerEvent } from "preact";
import { texts } from "../texts";
import type { Layout, Point, Rect } from "./layout";
import type { Trace } from "./trace";
import type { Size } from "./view";

interface MinimapProps {
  layout: Layout;
  selected: string | null;
  trace: Trace | null;
  /** The part of the picture that is seen. */
  seen: Rect;
  /** The largest size that it may have. */
  most: Size;
  /** Move a point of the picture into the middle. */
  onMove: (at: Point) => void;
}

/** The side of a square as large as it is, unless its form makes it smaller. */
const USUAL = 120;

/** The whole picture, small, with the part that is seen. The arrow keys in the picture do the same as it. */
export function Minimap({ layout, selected, trace, seen, most, onMove }: MinimapProps) {
  const { width, height } = layout;
  const scale = Math.min(most.width / width, most.height / height, USUAL / Math.sqrt(width * height));
  const move = (event: TargetedPointerEvent<SVGSVGElement>) => {
    const bounds = event.currentTarget.getBoundingClientRect();
    onMove({ x: (event.clientX - bounds.left) / scale, y: (event.clientY - bounds.top) / scale });
  };
  return (
    <svg
      class="minimap"
      role="img"
      aria-label={texts.flows.picture.minimap}
      width={width * scale}
      height={height * scale}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="xMinYMin"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        move(event);
      }}
      onPointerMove={(event) => event.buttons === 1 && move(event)}
    >
      {layout.frames.map(({ pointer, x, y, width, height }) => (
        <rect key={pointer} class="minimap-frame" {...{ x, y, width, height }} rx="12" />
      ))}
      {layout.boxes.map(({ step, x, y, width, height }) => {
        const state = trace ? (trace.states.get(step.pointer) ?? "none") : "";
        const chosen = step.pointer === selected ? " minimap-selected" : "";
        return (
          <rect
            key={step.pointer}
            class={`minimap-box minimap-${state}${chosen}`}
            {...{ x, y, width, height }}
            rx="8"
          />
        );
      })}
      <rect class="minimap-seen" x={seen.x} y={seen.y} width={seen.width} height={seen.height} />
    </svg>
  );
}
