/** The bars of a small chart, computed for `Sparkline`. */

export interface Bars {
  /** Paths of SVG: a line for each bar, from the ground or from the bar below. */
  good: string;
  bad: string;
}

/** A bar is never so low that it can't be seen. */
const LEAST = 1.5;

/** Bars over time: those that went wrong below, the others above. The highest one fills the height. */
export function barsOf(good: readonly number[], bad: readonly number[], width: number, height: number): Bars {
  const most = Math.max(1, ...good.map((count, place) => count + (bad[place] ?? 0)));
  const step = width / Math.max(1, good.length);
  const long = (count: number) => (count === 0 ? 0 : Math.max(LEAST, (count / most) * (height - LEAST)));
  const bars = { good: "", bad: "" };
  for (const [place, count] of good.entries()) {
    const x = round((place + 0.5) * step);
    const low = long(bad[place] ?? 0);
    if (low > 0) bars.bad += `M${x},${height}v${round(-low)}`;
    if (count > 0) bars.good += `M${x},${round(height - low)}v${round(-long(count))}`;
  }
  return bars;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
