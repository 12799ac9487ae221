import "./picture.css";
import type { TargetedKeyboardEvent, TargetedMouseEvent, TargetedPointerEvent } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Place } from "../document/edits";
import { texts } from "../texts";
import type { Chart } from "./chart";
import { Drawing } from "./Drawing";
import { blocksOf, isBlock } from "./folding";
import { type Layout, layoutOf, type Point } from "./layout";
import { Minimap } from "./Minimap";
import { moved } from "./navigation";
import type { Trace } from "./trace";
import { useStepDrag } from "./useStepDrag";
import {
  centred,
  fitted,
  kept,
  opening,
  panned,
  revealing,
  type Size,
  seen,
  type View,
  zoomed,
} from "./view";

const words = texts.flows.picture;
const STEP = 1.25;
/** Below this width, a minimap would cover too much of the picture. */
const NARROW = 480;

export interface PictureProps {
  chart: Chart;
  label: string;
  folded: ReadonlySet<string>;
  onFold: (folded: ReadonlySet<string>) => void;
  onToggle: (pointer: string) => void;
  /** The pointer of the selected step. */
  selected: string | null;
  onSelect: (pointer: string) => void;
  /** The counts of each step by its id, and then by state. */
  counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** How often each step has ended since the page was opened, by its id. */
  beats: ReadonlyMap<string, number>;
  trace: Trace | null;
  /** The pointers of steps and branches that no case reaches. */
  uncovered?: ReadonlySet<string> | undefined;
  /** Further keys of a step. Returns true if the key was one. */
  onKey?: (event: KeyboardEvent) => boolean;
  /** Opens the menu of a step at a place in the window. */
  onMenu?: (pointer: string, at: Point) => void;
  /** A step was dragged to another place. */
  onDrop?: (pointer: string, place: Place) => void;
  /** When it grows, the selected step gets the focus. */
  focusTurn?: number;
}

/** The picture of a flow, which can be moved, zoomed and walked through by the arrow keys. */
export function Picture(props: PictureProps) {
  const { chart, folded, onFold, onToggle, selected, onSelect } = props;
  const frame = useRef<HTMLDivElement>(null);
  const window = useSize(frame);
  const layout = useMemo(() => layoutOf(chart, folded), [chart, folded]);
  const [view, setView] = useView(layout, window);
  const focusing = useRef(false);

  const shown = layout.boxes.find((box) => box.step.pointer === selected);
  // The view moves when another step is selected, and otherwise stays.
  useLayoutEffect(() => {
    if (!shown || window.width === 0) return;
    setView((before) => before && revealing(before, shown, window));
  }, [selected, window.width > 0]);
  const turn = useRef(props.focusTurn);
  if (turn.current !== props.focusTurn) focusing.current = true;
  turn.current = props.focusTurn;
  useLayoutEffect(() => {
    if (!shown || !focusing.current) return;
    focusing.current = false;
    const element = frame.current?.querySelector<SVGGElement>(
      `[data-pointer="${CSS.escape(shown.step.pointer)}"]`,
    );
    element?.focus({ preventScroll: true });
  }, [selected, props.focusTurn]);

  const zoom = (factor: number, at: Point = { x: window.width / 2, y: window.height / 2 }) =>
    setView((before) => before && zoomed(before, at, factor));
  const keys: Readonly<Record<string, () => void>> = {
    "+": () => zoom(STEP),
    "=": () => zoom(STEP),
    "-": () => zoom(1 / STEP),
    "0": () => setView(fitted(layout, window)),
    Enter: () => shown && isBlock(shown.step) && onToggle(shown.step.pointer),
    " ": () => shown && isBlock(shown.step) && onToggle(shown.step.pointer),
  };
  const press = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    if (!(event.target as Element).closest("[data-pointer]")) return;
    if (props.onKey?.(event)) return event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key];
    const to = moved(chart, folded, selected ?? "", event.key);
    if (!act && !/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    if (act) return act();
    focusing.current = to !== selected;
    onSelect(to);
  };
  const openMenu = (event: TargetedMouseEvent<HTMLDivElement>) => {
    const pointer = (event.target as Element).closest<SVGElement>("[data-pointer]")?.dataset.pointer;
    if (pointer === undefined || !props.onMenu) return;
    event.preventDefault();
    onSelect(pointer);
    props.onMenu(pointer, { x: event.clientX, y: event.clientY });
  };
  useWheel(frame, view, layout, window, setView);
  const drag = useDrag(
    (dx, dy) => setView((before) => before && panned(before, dx, dy, layout, window)),
    zoom,
  );
  const step = useStepDrag(layout, view, props.onDrop);
  const fits = view === null || seesAll(view, layout, window);
  const allFolded = folded.size > 0;
  return (
    <div class="picture">
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the tree in it */}
      <div
        ref={frame}
        class={`picture-frame${view && view.scale < 0.5 ? " picture-far" : ""}${props.trace ? " picture-traced" : ""}${step.dragged ? " picture-dragging" : ""}`}
        onKeyDown={press}
        onContextMenu={openMenu}
        onPointerDown={both(drag.onPointerDown, step.onPointerDown)}
        onPointerMove={both(drag.onPointerMove, step.onPointerMove)}
        onPointerUp={both(drag.onPointerUp, step.onPointerUp)}
        onPointerCancel={both(drag.onPointerCancel, step.onPointerCancel)}
      >
        {view && <Drawing {...props} layout={layout} view={view} window={window} dragged={step.dragged} />}
      </div>
      <div class="picture-tools" role="toolbar" aria-label={words.tools}>
        {blocksOf(chart).length > 0 && (
          <Tool
            label={allFolded ? words.unfoldAll : words.foldAll}
            onClick={() =>
              onFold(allFolded ? new Set() : new Set(blocksOf(chart).map((step) => step.pointer)))
            }
            path={allFolded ? "M4 6l4-3 4 3M4 10l4 3 4-3" : "M4 3l4 3 4-3M4 13l4-3 4 3"}
          />
        )}
        <Tool label={words.zoomOut} onClick={() => zoom(1 / STEP)} path="M3.5 8h9" />
        <Tool label={words.zoomIn} onClick={() => zoom(STEP)} path="M3.5 8h9M8 3.5v9" />
        <Tool
          label={words.fit}
          onClick={() => setView(fitted(layout, window))}
          path="M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3"
        />
      </div>
      {view && !fits && window.width > NARROW && (
        <Minimap
          layout={layout}
          selected={selected}
          trace={props.trace}
          seen={seen(view, window)}
          most={{ width: Math.min(168, window.width / 4), height: window.height / 2 }}
          onMove={(at) => setView((before) => before && centred(before, at, layout, window))}
        />
      )}
    </div>
  );
}

function both<T>(one: (event: T) => void, other: (event: T) => void) {
  return (event: T) => {
    one(event);
    other(event);
  };
}

function Tool({ label, onClick, path }: { label: string; onClick: () => void; path: string }) {
  return (
    <button type="button" class="picture-tool" aria-label={label} title={label} onClick={onClick}>
      <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
        <path class="picture-sign" d={path} />
      </svg>
    </button>
  );
}

function seesAll(view: View, layout: Layout, window: Size): boolean {
  const part = seen(view, window);
  return (
    part.x <= 0 && part.y <= 0 && part.x + part.width >= layout.width && part.y + part.height >= layout.height
  );
}

/** The size of an element, which follows that of the window. */
function useSize(element: { readonly current: HTMLElement | null }): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const watched = element.current;
    if (!watched) return;
    const observer = new ResizeObserver(() =>
      setSize({ width: watched.clientWidth, height: watched.clientHeight }),
    );
    observer.observe(watched);
    return () => observer.disconnect();
  }, [element]);
  return size;
}

/** The view, which begins anew when the window appears. */
function useView(layout: Layout, window: Size) {
  const [view, setView] = useState<View | null>(null);
  const drawn = useRef(layout);
  const trigger = layout.terminals[0];
  const axis = trigger ? trigger.x + trigger.width / 2 : layout.width / 2;
  const width = useRef(0);
  useLayoutEffect(() => {
    if (window.width === 0) return;
    // A resized window keeps what is in its middle.
    const more = (window.width - width.current) / 2;
    const first = width.current === 0;
    width.current = window.width;
    setView((before) =>
      before === null || first
        ? opening(layout, window, axis)
        : { ...before, x: before.x - more / before.scale },
    );
  }, [window.width, window.height]);
  useLayoutEffect(() => {
    const before = drawn.current;
    drawn.current = layout;
    if (before !== layout) setView((view) => view && kept(view, before, layout, window));
  }, [layout]);
  return [view, setView] as const;
}

/** The wheel moves the picture, and zooms with Ctrl. At the picture's edge, the page scrolls. */
function useWheel(
  element: { readonly current: HTMLElement | null },
  view: View | null,
  layout: Layout,
  window: Size,
  setView: (change: (before: View | null) => View | null) => void,
): void {
  const latest = useRef({ view, layout, window });
  latest.current = { view, layout, window };
  useEffect(() => {
    const watched = element.current;
    if (!watched) return;
    const turn = (event: WheelEvent) => {
      const now = latest.current;
      if (!now.view) return;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const bounds = watched.getBoundingClientRect();
        const at = { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
        setView((before) => before && zoomed(before, at, Math.exp(-event.deltaY / 300)));
        return;
      }
      const part = seen(now.view, now.window);
      const [dx, dy] = event.shiftKey ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
      const down = dy > 0 && part.y + part.height < now.layout.height;
      const up = dy < 0 && part.y > 0;
      if (!down && !up && dx === 0) return;
      event.preventDefault();
      setView((before) => before && panned(before, -dx, -dy, now.layout, now.window));
    };
    watched.addEventListener("wheel", turn, { passive: false });
    return () => watched.removeEventListener("wheel", turn);
  }, [element, setView]);
}

/** Dragging the ground moves the picture; two fingers zoom it. */
function useDrag(move: (dx: number, dy: number) => void, zoom: (factor: number, at: Point) => void) {
  const pointers = useRef(new Map<number, Point>());
  type Event = TargetedPointerEvent<HTMLDivElement>;
  const at = (event: Event): Point => {
    const bounds = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  };
  const end = (event: Event) => {
    pointers.current.delete(event.pointerId);
  };
  return {
    onPointerDown: (event: Event) => {
      if (event.button !== 0 || (event.target as Element).closest("[data-pointer]")) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      pointers.current.set(event.pointerId, at(event));
    },
    onPointerMove: (event: Event) => {
      const before = pointers.current.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      pointers.current.set(event.pointerId, now);
      const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
      if (!other) return move(now.x - before.x, now.y - before.y);
      const length = (point: Point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      zoom(length(now) / length(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    },
    onPointerUp: end,
    onPointerCancel: end,
  };
}
