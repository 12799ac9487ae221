import "./chart.css";
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
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

/** A chart over time. The library that draws it is loaded when the first chart is shown. */
export function Chart({ title, headline, times, lines, format }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const theme = useTheme();

  useEffect(() => {
    let plot: uPlot | undefined;
    let watcher: ResizeObserver | undefined;
    let gone = false;
    import("./plot").then(({ draw }) => {
      const element = place.current;
      if (gone || !element) return;
      plot = draw(element, HEIGHT, times, lines, format, setPointed);
      watcher = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
      watcher.observe(element);
    });
    return () => {
      gone = true;
      watcher?.disconnect();
      plot?.destroy();
    };
  }, [times, lines, format, theme]);

  const at = pointed === null ? undefined : times[pointed];
  return (
    <figure class="card chart">
      <figcaption class="chart-head">
        <span class="chart-title">{title}</span>
        <span class="chart-headline">{headline}</span>
      </figcaption>
      <div ref={place} class="chart-plot" role="img" aria-label={`${title}: ${headline}`} />
      <div class="chart-legend">
        {lines.map((line) => {
          const value = pointed === null ? null : line.values[pointed];
          return (
            <span key={line.label} class="chart-key">
              <span class="chart-mark" style={{ background: `var(${line.color})` }} />
              {line.label}
              {typeof value === "number" && <strong>{format(value)}</strong>}
            </span>
          );
        })}
        {at !== undefined && <span class="chart-at">{formatTime(new Date(at * 1000), new Date())}</span>}
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
