import { useCallback, useMemo, useRef } from "preact/hooks";
import { texts } from "../texts";
import { formatCompact } from "../ui/format";
import type { ChartList, ChartStep } from "./chart";
import { cut, description, listLabel, stateName, subtitle } from "./describe";
import { isBlock, stepsInside } from "./folding";
import {
  BOX_HEIGHT,
  BOX_WIDTH,
  type Box,
  type Edge,
  type Frame,
  type Label,
  type Layout,
  type Point,
  pathOf,
  type Terminal,
} from "./layout";
import type { PictureProps } from "./Picture";
import type { DraggedStep } from "./useStepDrag";
import type { Size, View } from "./view";

const words = texts.flows.picture;
const TITLE_LENGTH = 26;
const SUBTITLE_LENGTH = 29;
const LABEL_LENGTH = 36;
/** The states that are counted in a box, from right to left. */
const COUNTED = ["failed", "waiting", "succeeded"];
const PILL_CHARACTER = 6.6;

/** The icon of each kind of step, in a square of 16. */
const ICONS: Readonly<Record<ChartStep["kind"] | "end", string>> = {
  action: "M9 2 4 9h4l-1 5 5-7H8z",
  call: "M3 4h6v5M3 4v8h6M9 9l4-3M9 9l4 3M13 6v6",
  wait: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3M8 5.5V8l2 1.5",
  switch: "M3 8h3l4-4h3M6 8l4 4h3M11 2l2 2-2 2M11 10l2 2-2 2",
  foreach: "M3.5 7A4.5 4.5 0 0 1 12 5.5M12.5 9A4.5 4.5 0 0 1 4 10.5M12 2.5v3H9M4 13.5v-3h3",
  parallel: "M5 3v10M11 3v10M3 11l2 2 2-2M9 11l2 2 2-2",
  try: "M8 2.5l4.5 1.7V8c0 2.8-2 4.6-4.5 5.5C5.5 12.600 3.5 10.800 3.5 8V4.2z",
  end: "M4.5 4.5h7v7h-7z",
};

interface DrawingProps extends PictureProps {
  layout: Layout;
  view: View;
  window: Size;
  dragged: DraggedStep | null;
}

/** The drawing itself. Everything is placed by attributes, and coloured by classes. */
export function Drawing(props: DrawingProps) {
  const { layout, view, window, dragged, chart, label, selected, counts, beats, trace, uncovered } = props;
  // The parent may make these anew at each key, and nothing is drawn again for that.
  const handlers = useRef(props);
  handlers.current = props;
  const onSelect = useCallback((pointer: string) => handlers.current.onSelect(pointer), []);
  const onToggle = useCallback((pointer: string) => handlers.current.onToggle(pointer), []);
  const place = `scale(${view.scale}) translate(${-view.x} ${-view.y})`;
  const shown = { layout, chart, label, selected, counts, beats, trace, uncovered, onSelect, onToggle };
  // Moving the view changes one attribute, and draws nothing again.
  const content = useMemo(() => <Content {...shown} />, Object.values(shown));
  return (
    <svg class="drawing" width={window.width} height={window.height} role="presentation">
      <defs>
        {["flow", "failure", "back", "taken"].map((kind) => (
          <marker
            key={kind}
            id={`arrow-${kind}`}
            class={`arrow arrow-${kind}`}
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="7"
            markerHeight="7"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path d="M0 0.5 7 4 0 7.5z" />
          </marker>
        ))}
      </defs>
      <g transform={place}>
        {content}
        {dragged?.spot && <DropMark at={dragged.spot.at} />}
      </g>
    </svg>
  );
}

/** The place where the step that is dragged would land. */
function DropMark({ at }: { at: Point }) {
  return <rect class="drop-mark" x={at.x - BOX_WIDTH / 2} y={at.y - 3} width={BOX_WIDTH} height="6" rx="3" />;
}

function Content(props: Omit<PictureProps, "folded" | "onFold"> & { layout: Layout }) {
  const { layout, label, trace } = props;
  const pointers = new Set(layout.boxes.map((box) => box.step.pointer));
  const first = layout.boxes[0]?.step.pointer;
  const tabStop = props.selected !== null && pointers.has(props.selected) ? props.selected : first;
  return (
    <>
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it is focusable */}
      <g aria-hidden="true">
        {layout.frames.map((frame) => (
          <FrameShape key={frame.pointer} frame={frame} />
        ))}
        {edgesInOrder(layout.edges, trace?.took).map(({ edge, taken }, index) => (
          <EdgeShape key={index} edge={edge} taken={taken} />
        ))}
        {layout.labels.map((each) => (
          <LabelShape
            key={each.list.pointer}
            label={each}
            isUncovered={isUncovered(each.list, props.uncovered)}
          />
        ))}
        {layout.terminals.map((terminal) => (
          <TerminalShape key={terminal.kind} terminal={terminal} trigger={props.chart.trigger} />
        ))}
      </g>
      <g role="tree" aria-label={label}>
        {layout.boxes.map((box) => (
          <BoxShape
            key={box.step.pointer}
            box={box}
            level={levelOf(box.step.pointer, pointers)}
            selected={box.step.pointer === props.selected}
            tabStop={box.step.pointer === tabStop}
            counts={props.counts[box.step.id]}
            beat={props.beats.get(box.step.id) ?? 0}
            isUncovered={props.uncovered?.has(box.step.pointer) ?? false}
            state={trace ? (trace.states.get(box.step.pointer) ?? "none") : undefined}
            onSelect={props.onSelect}
            onToggle={props.onToggle}
          />
        ))}
      </g>
    </>
  );
}

/** How deep a step is in the tree, from 1. `pointers`: those of all steps. */
function levelOf(pointer: string, pointers: ReadonlySet<string>): number {
  let level = 1;
  for (let end = pointer.lastIndexOf("/"); end > 0; end = pointer.lastIndexOf("/", end - 1))
    if (pointers.has(pointer.slice(0, end))) level += 1;
  return level;
}

/** The edges that were taken are drawn over the others. */
function edgesInOrder(edges: readonly Edge[], took: ((edge: Edge) => boolean) | undefined) {
  const marked = edges.map((edge) => ({ edge, taken: took?.(edge) ?? false }));
  return took ? [...marked.filter(({ taken }) => !taken), ...marked.filter(({ taken }) => taken)] : marked;
}

function FrameShape({ frame }: { frame: Frame }) {
  const { x, y, width, height, kind, depth } = frame;
  return (
    <rect
      class={`frame frame-${kind} frame-${depth % 2 ? "odd" : "even"}`}
      {...{ x, y, width, height }}
      rx="12"
    />
  );
}

function EdgeShape({ edge, taken }: { edge: Edge; taken: boolean }) {
  const marker = taken ? "taken" : edge.kind;
  return (
    <path
      class={`edge edge-${edge.kind}${taken ? " edge-taken" : ""}`}
      d={pathOf(edge.points)}
      marker-end={edge.arrow ? `url(#arrow-${marker})` : undefined}
    />
  );
}

/** Whether no case reaches a branch. The server names it by its case, and not by the list in it. */
function isUncovered({ kind, pointer }: ChartList, uncovered: ReadonlySet<string> | undefined): boolean {
  if (!uncovered || (kind !== "case" && kind !== "catch")) return false;
  return uncovered.has(kind === "case" ? pointer.replace(/\/steps$/, "") : pointer);
}

function LabelShape({ label, isUncovered }: { label: Label; isUncovered: boolean }) {
  const name = listLabel(label.list);
  const full = isUncovered ? `${name} (${words.uncovered})` : name;
  const text = cut(name, LABEL_LENGTH);
  const width = Math.min(label.width, text.length * PILL_CHARACTER + 18);
  return (
    <g
      class={isUncovered ? "lane-uncovered" : undefined}
      transform={`translate(${label.x + label.width / 2} ${label.y})`}
    >
      <title>{full}</title>
      <rect
        class="lane-ground"
        x={-width / 2}
        y="1"
        width={width}
        height={label.height - 2}
        rx={label.height / 2 - 1}
      />
      <text class="lane-text" y={label.height / 2 + 4} text-anchor="middle">
        {text}
      </text>
    </g>
  );
}

function TerminalShape({ terminal, trigger }: { terminal: Terminal; trigger: string }) {
  const { kind, x, y, width, height } = terminal;
  const text = { trigger, end: words.end, error: words.onError }[kind];
  return (
    <g class={`terminal terminal-${kind}`} transform={`translate(${x} ${y})`}>
      <rect class="terminal-ground" width={width} height={height} rx={height / 2} />
      <text class="terminal-text" x={width / 2} y={height / 2 + 4} text-anchor="middle">
        {cut(text, 22)}
      </text>
    </g>
  );
}

interface BoxProps {
  box: Box;
  level: number;
  selected: boolean;
  tabStop: boolean;
  counts: Readonly<Record<string, number>> | undefined;
  beat: number;
  /** No case reaches it. */
  isUncovered: boolean;
  /** Its state in the execution whose path is shown, `none` if it hasn't run; undefined if none is shown. */
  state: string | undefined;
  onSelect: (pointer: string) => void;
  onToggle: (pointer: string) => void;
}

function BoxShape(props: BoxProps) {
  const { box, level, selected, tabStop, counts, beat, isUncovered, state, onSelect, onToggle } = props;
  const { step, folded, width, height } = box;
  const block = isBlock(step);
  const top = step.when === undefined ? 0 : height - BOX_HEIGHT;
  const icon = step.ends ? "end" : step.kind;
  const told = description(step, folded, counts, state === "none" ? undefined : state, isUncovered);
  return (
    <g
      class={`box box-${block ? "block" : step.kind}${selected ? " box-selected" : ""}${state ? ` box-${state}` : ""}${isUncovered ? " box-uncovered" : ""}`}
      transform={`translate(${box.x} ${box.y})`}
      role="treeitem"
      tabindex={tabStop ? 0 : -1}
      aria-level={level}
      aria-selected={selected}
      aria-expanded={block ? !folded : undefined}
      aria-label={told}
      data-pointer={step.pointer}
      onClick={() => onSelect(step.pointer)}
      onDblClick={() => block && onToggle(step.pointer)}
    >
      <title>{told}</title>
      {folded && <rect class="box-ground" x="5" y="5" width={width - 10} height={height} rx="9" />}
      <rect
        class={`box-ground${state === "skipped" ? " box-passed-by" : ""}`}
        width={width}
        height={height}
        rx="9"
      />
      {beat > 0 && <rect key={beat} class="box-beat" width={width} height={height} rx="9" />}
      {step.when !== undefined && (
        <text class="box-when" x="14" y="18">
          {cut(words.onlyIf(step.when), 38)}
        </text>
      )}
      <g transform={`translate(12 ${top + 12})`}>
        <rect class="box-icon" width="28" height="28" rx="7" />
        <path class="box-sign" d={ICONS[icon]} transform="translate(6 6)" />
      </g>
      <text class="box-title" x="50" y={top + 23}>
        {cut(step.id, TITLE_LENGTH)}
      </text>
      <text class={`box-subtitle${step.kind === "action" ? " box-use" : ""}`} x="50" y={top + 40}>
        {cut(subtitle(step), SUBTITLE_LENGTH)}
      </text>
      {block && <Fold step={step} folded={folded} x={width} y={top} onToggle={onToggle} />}
      <Pills counts={counts} width={width} height={height} />
    </g>
  );
}

function Fold({
  step,
  folded,
  x,
  y,
  onToggle,
}: Pick<BoxProps, "onToggle"> & { step: ChartStep; folded: boolean; x: number; y: number }) {
  const toggle = (event: MouseEvent) => {
    event.stopPropagation();
    onToggle(step.pointer);
  };
  const count = folded ? String(stepsInside(step)) : "";
  const width = count === "" ? 24 : 28 + count.length * 7;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it is the box that is focused
    <g transform={`translate(${x - width - 10} ${y + 15})`} onClick={toggle}>
      <rect class="fold" width={width} height="22" rx="6" />
      {count && (
        <text class="fold-text" x="8" y="15">
          {count}
        </text>
      )}
      <path
        class="fold-sign"
        d={folded ? "M5 3l4 4-4 4" : "M3 5l4 4 4-4"}
        transform={`translate(${width - 19} 4)`}
      />
    </g>
  );
}

/** The counts of a step, at the lower edge of its box. */
function Pills({ counts, width, height }: { counts: BoxProps["counts"]; width: number; height: number }) {
  let right = width - 10;
  const shown = COUNTED.filter((state) => (counts?.[state] ?? 0) > 0).map((state) => {
    const text = formatCompact(counts?.[state] ?? 0);
    const size = text.length * PILL_CHARACTER + 22;
    right -= size;
    const place = { state, text, size, x: right };
    right -= 4;
    return place;
  });
  return (
    <>
      {shown.map(({ state, text, size, x }) => (
        <g key={state} class={`pill pill-${state}`} transform={`translate(${x} ${height - 8})`}>
          <title>{words.counted(counts?.[state] ?? 0, stateName(state))}</title>
          <rect class="pill-ground" width={size} height="18" rx="9" />
          <circle class="pill-dot" cx="9" cy="9" r="2.5" />
          <text class="pill-text" x="15" y="13">
            {text}
          </text>
        </g>
      ))}
    </>
  );
}
