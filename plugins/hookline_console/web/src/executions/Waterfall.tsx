import "./waterfall.css";
import { useEffect, useLayoutEffect } from "preact/hooks";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { toneOf } from "../ui/Badge";
import { formatDuration, formatOffset } from "../ui/format";
import { Twist } from "../ui/Twist";
import { useFixedRows } from "../ui/useFixedRows";
import type { Bar, Row, Timeline } from "./timeline";

interface WaterfallProps {
  timeline: Timeline;
  /** The path of the chosen step; empty for the message. */
  chosen: string;
  onChoose: (path: string) => void;
  onToggle: (path: string) => void;
  /** Load further steps; undefined if there are none. */
  more: (() => void) | undefined;
}

const ROW_REM = 2;
const MICROS = 1e6;

/** The steps of an execution below one another, with their bars on one scale of time. A tree for the keyboard. */
export function Waterfall({ timeline, chosen, onChoose, onToggle, more }: WaterfallProps) {
  const words = texts.executions.waterfall;
  const { rows, scale } = timeline;
  const list = useFixedRows(rows.length, ROW_REM);
  const found = rows.findIndex((row) => row.path === chosen);
  const current = Math.max(0, found);
  // The chosen step is shown when it is chosen, and not again whenever something moves.
  useLayoutEffect(() => {
    if (found >= 0) list.reveal(found);
  }, [chosen]);

  useEffect(() => {
    if (list.last >= rows.length) more?.();
  });

  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = rows[current];
    const to = {
      ArrowDown: rows[current + 1],
      ArrowUp: rows[current - 1],
      Home: rows[0],
      End: rows.at(-1),
    }[event.key];
    if (to) onChoose(to.path);
    else if (event.key === "ArrowRight" && row?.expandable && !row.expanded) onToggle(row.path);
    else if (event.key === "ArrowRight" && row?.expanded) onChoose(rows[current + 1]?.path ?? row.path);
    else if (event.key === "ArrowLeft" && row?.expanded) onToggle(row.path);
    else if (event.key === "ArrowLeft") {
      const outer = rows.findLast((one, index) => index < current && one.level < (row?.level ?? 0));
      if (outer) onChoose(outer.path);
    } else if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
  };
  return (
    <div class="fall">
      <div class="fall-scale" aria-hidden="true">
        <div class="fall-ticks">
          <div class="fall-times">
            {scale.ticks.map((tick) => (
              <span key={tick.time} class="fall-tick" style={{ left: percent(tick.at) }}>
                {tick.time === 0 ? "0" : `+${formatOffset(tick.time / MICROS, scale.step / MICROS)}`}
              </span>
            ))}
          </div>
          {scale.breaks.map((one) => (
            <span
              key={one.at}
              class="fall-break-time"
              style={{ left: percent(one.at), width: percent(one.until - one.at) }}
              title={words.break(formatDuration(one.duration / MICROS))}
            >
              {formatDuration(one.duration / MICROS)}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={list.element}
        class="fall-rows"
        role="tree"
        aria-label={words.label}
        tabIndex={0}
        aria-activedescendant={`fall-${current}`}
        onKeyDown={press}
        onScroll={list.update}
      >
        <div role="none" class="fall-space" style={{ height: `${rows.length * ROW_REM}rem` }}>
          <div class="fall-grid" aria-hidden="true">
            <div class="fall-lines">
              {scale.ticks.map((tick) => (
                <span key={tick.time} class="fall-line" style={{ left: percent(tick.at) }} />
              ))}
              {scale.breaks.map((one) => (
                <span
                  key={one.at}
                  class="fall-break"
                  style={{ left: percent(one.at), width: percent(one.until - one.at) }}
                />
              ))}
            </div>
          </div>
          {rows.slice(list.first, list.last).map((row, offset) => {
            const index = list.first + offset;
            return (
              <StepRow
                key={row.path}
                index={index}
                row={row}
                timeline={timeline}
                chosen={index === current}
                onChoose={() => onChoose(row.path)}
                onToggle={() => onToggle(row.path)}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

interface StepRowProps {
  index: number;
  row: Row;
  timeline: Timeline;
  chosen: boolean;
  onChoose: () => void;
  onToggle: () => void;
}

function StepRow({ index, row, timeline, chosen, onChoose, onToggle }: StepRowProps) {
  const words = texts.executions.waterfall;
  const { place } = timeline.scale;
  const name = row.path === "" ? words.execution : row.label;
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: the tree has the focus, and names its active row
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree handles the keys
    <div
      id={`fall-${index}`}
      class={`fall-row${chosen ? " fall-chosen" : ""}`}
      role="treeitem"
      aria-level={row.level + 1}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-expanded={row.expandable ? row.expanded : undefined}
      aria-selected={chosen}
      style={{ top: `${index * ROW_REM}rem`, "--level": Math.max(0, row.level - 1) }}
      onClick={onChoose}
    >
      <span class="fall-name">
        <Twist expandable={row.expandable} onToggle={onToggle} />
        <span class={`fall-dot fall-dot-${toneOf(row.state)}`} aria-hidden="true" />
        <span class="truncate" title={row.step ? `${row.path} · ${row.step.use}` : undefined}>
          <Text>{name}</Text>
          {row.step && <span class="fall-use"> {row.step.use}</span>}
        </span>
        <span class="sr-only">{stateName(row.state)}</span>
        {row.expandable && (
          <span class={`fall-count${row.failedInside > 0 ? " fall-count-bad" : ""}`}>
            {words.inside(row.inside, row.failedInside)}
          </span>
        )}
      </span>
      <span class="fall-bars">
        {row.gap && row.level === 1 && (
          <span
            class="fall-gap"
            style={{
              left: percent(place(row.gap.from)),
              width: percent(place(row.gap.to) - place(row.gap.from)),
            }}
          />
        )}
        {row.state === "skipped" ? (
          <span class="fall-skipped" style={{ left: percent(place(row.bars[0]?.from ?? 0)) }}>
            {stateName("skipped")}
          </span>
        ) : (
          row.bars.map((bar, number) => <BarMark key={number} bar={bar} place={place} />)
        )}
      </span>
      <span class="fall-duration">{row.state === "skipped" ? "" : durationOf(row)}</span>
    </div>
  );
}

function BarMark({ bar, place }: { bar: Bar; place: (time: number) => number }) {
  const words = texts.executions.waterfall;
  const left = place(bar.from);
  const width = place(bar.to) - left;
  const duration = formatDuration((bar.to - bar.from) / MICROS);
  return (
    <span
      class={`fall-bar fall-${bar.kind}${bar.open ? " fall-open" : ""}`}
      style={{ left: percent(left), width: percent(width) }}
      title={words.bars[bar.kind](duration, bar.attempt)}
    />
  );
}

/** The time from the beginning of the first bar to the end of the last one. */
function durationOf(row: Row): string {
  const [first] = row.bars;
  const last = row.bars.at(-1);
  return first && last ? formatDuration((last.to - first.from) / MICROS) : "";
}

export function stateName(state: string): string {
  const names: Readonly<Record<string, string>> = texts.states;
  return names[state] ?? state;
}

function percent(part: number): string {
  return `${(part * 100).toFixed(3)}%`;
}
