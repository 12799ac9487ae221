/** What a chart draws, computed from its lines. */

import type { Line } from "./Chart";

/** The values of lines, where each bar stands on the bar after it, so that none hides another. */
export function stacked(lines: readonly Line[]): (number | null)[][] {
  return lines.map((line, index) => {
    if (!line.bars) return [...line.values];
    const below = lines.slice(index + 1).filter((other) => other.bars);
    return line.values.map((value, at) =>
      below.reduce((sum, other) => sum + (other.values[at] ?? 0), value ?? 0),
    );
  });
}

/** The point to which a key moves, of so many; undefined if it moves nowhere. Before the first key, there is none. */
export function movedPoint(from: number | null, key: string, count: number): number | undefined {
  const to = {
    ArrowLeft: (from ?? count) - 1,
    ArrowRight: (from ?? -1) + 1,
    Home: 0,
    End: count - 1,
  }[key];
  return to === undefined || count === 0 ? undefined : Math.max(0, Math.min(count - 1, to));
}

const DAY_S = 86_400;
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const days = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** The labels of points in time: days if they are days apart, otherwise times of day. */
export function timeTicks(ticks: readonly number[]): string[] {
  const apart = (ticks[1] ?? 0) - (ticks[0] ?? 0);
  const format = apart >= DAY_S ? days : hours;
  return ticks.map((tick) => format.format(new Date(tick * 1000)));
}
