import "./sparkline.css";
import { useMemo } from "preact/hooks";
import { barsOf } from "./sparkline_bars";

interface SparklineProps {
  /** What it shows, for those who don't see it. */
  label: string;
  good: readonly number[];
  bad: readonly number[];
}

const WIDTH = 96;
const HEIGHT = 22;

/** Bars over time, as small as a word. */
export function Sparkline({ label, good, bad }: SparklineProps) {
  const bars = useMemo(() => barsOf(good, bad, WIDTH, HEIGHT), [good, bad]);
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={label}
    >
      <path class="sparkline-ground" d={`M0,${HEIGHT - 0.5}h${WIDTH}`} />
      <path class="sparkline-good" d={bars.good} />
      <path class="sparkline-bad" d={bars.bad} />
    </svg>
  );
}
