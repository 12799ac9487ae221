/** The drawing of charts, by uPlot. `Chart` loads it. */

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import type { Line } from "./Chart";
import { stacked, timeTicks } from "./chart_data";

/** Draw a chart into an element. `point` is told the index at the pointer; null if there is none. */
export function draw(
  element: HTMLElement,
  height: number,
  times: readonly number[],
  lines: readonly Line[],
  format: (value: number) => string,
  point: (index: number | null) => void,
): uPlot {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--ink-3"),
    font: `11px ${style.getPropertyValue("--font")}`,
    grid: { stroke: color("--chart-grid"), width: 1 },
    ticks: { show: false },
  };
  const bars = uPlot.paths.bars?.({ size: [0.72, 24], radius: 0.15 });
  return new uPlot(
    {
      width: element.clientWidth,
      height,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 26, values: (_, ticks) => timeTicks(ticks) },
        {
          ...axis,
          size: 54,
          space: 34,
          values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : format(tick))),
        },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.label,
          stroke: color(line.color),
          width: line.bars ? 0 : 1.5,
          fill: line.bars
            ? color(line.color)
            : line.area
              ? `color-mix(in srgb, ${color(line.color)} 15%, transparent)`
              : undefined,
          paths: line.bars ? bars : undefined,
          spanGaps: true,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => point(plot.cursor.idx ?? null)] },
    },
    [[...times], ...stacked(lines)] as uPlot.AlignedData,
    element,
  );
}
