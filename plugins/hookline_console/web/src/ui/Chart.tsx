import "./chart.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { movedPoint } from "./chart_data";
import { formatTime } from "./format";

export interface Line {
  label: string;
  /** A custom property of CSS, such as `--chart-ok`. */
  color: string;
  values: readonly (number | null)[];
  /** Drawn as bars, which add up to the bar of the line before. */
  bars?: boolean;
  /** Filled down to zero. */
  area?: boolean;
}

interface ChartProps {
  title: string;
  /** The value that sums up the chart. */
  headline: string;
  /** Times in seconds. */
  times: readonly number[];
  lines: readonly Line[];
  format: (value: number) => string;
}

const HEIGHT = 148;

/**
 * A chart over time. Its values are read at the pointer, or with the arrow keys.
 *
 * The library that draws it is loaded when the first chart is shown.
 */
export function Chart({ title, headline, times, lines, format }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot>(undefined);
  const [pointed, setPointed] = useState<number | null>(null);
  const theme = useTheme();

  useEffect(() => {
    let watcher: ResizeObserver | undefined;
    let gone = false;
    import("./plot").then(({ draw }) => {
      const element = place.current;
      if (gone || !element) return;
      const plot = draw(element, HEIGHT, times, lines, format, setPointed);
      drawn.current = plot;
      watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
      watcher.observe(element);
    });
    return () => {
      gone = true;
      watcher?.disconnect();
      drawn.current?.destroy();
      drawn.current = undefined;
    };
  }, [times, lines, format, theme]);

  const pointAt = (index: number | null) => {
    const plot = drawn.current;
    const left = index === null ? -1 : (plot?.valToPos(times[index] ?? 0, "x") ?? -1);
    // The plot tells which point it is, as it does when the pointer moves.
    plot?.setCursor({ left, top: left < 0 ? -1 : 0 });
  };
  const press = (event: KeyboardEvent) => {
    const to = movedPoint(pointed, event.key, times.length);
    if (to === undefined) return;
    event.preventDefault();
    pointAt(to);
  };
  const at = pointed === null ? undefined : times[pointed];
  const time = at === undefined ? "" : formatTime(new Date(at * 1000), new Date());
  const values = lines.map((line) => {
    const value = pointed === null ? null : line.values[pointed];
    return { ...line, text: typeof value === "number" ? format(value) : "" };
  });
  return (
    <figure class="card chart">
      <figcaption class="chart-head">
        <span class="chart-title">{title}</span>
        <span class="chart-headline">{headline}</span>
      </figcaption>
      <div
        ref={place}
        class="chart-plot"
        role="slider"
        tabIndex={0}
        aria-label={`${title}: ${headline}`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, times.length - 1)}
        aria-valuenow={pointed ?? 0}
        aria-valuetext={
          time ? [time, ...values.map(({ label, text }) => `${label} ${text || "–"}`)].join(", ") : undefined
        }
        onKeyDown={press}
        onBlur={() => pointAt(null)}
      />
      <div class="chart-legend">
        {values.map(({ label, color, text }) => (
          <span key={label} class="chart-key">
            <span class="chart-mark" style={{ background: `var(${color})` }} />
            {label}
            {text && <strong>{text}</strong>}
          </span>
        ))}
        {time && <span class="chart-at">{time}</span>}
      </div>
    </figure>
  );
}

/** The theme that is shown: charts are drawn with its colours. */
function useTheme(): string {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const change = () => setTheme(document.documentElement.dataset.theme ?? "");
    window.addEventListener("themechange", change);
    return () => window.removeEventListener("themechange", change);
  }, []);
  return theme;
}
