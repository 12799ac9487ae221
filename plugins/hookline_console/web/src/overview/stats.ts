/** Statistics as the API returns them, turned into the points of charts. */

export interface Stats {
  step: "1m" | "1h";
  since: string;
  until: string;
  /** The upper bounds of the latency buckets in seconds. */
  bounds: number[];
  items: StatsItem[];
}

export interface StatsItem {
  at: string;
  accepted: number;
  rejected: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  /** The longest time in seconds that a message waited for its execution to start. */
  queue_age: number;
  /** The number of executions in each latency bucket; the last one has no upper bound. */
  latency: number[];
}

export const RANGES = ["1h", "6h", "24h", "7d", "30d"] as const;
export type Range = (typeof RANGES)[number];

const HOUR_S = 3600;
const RANGE_S: Record<Range, number> = {
  "1h": HOUR_S,
  "6h": 6 * HOUR_S,
  "24h": 24 * HOUR_S,
  "7d": 7 * 24 * HOUR_S,
  "30d": 30 * 24 * HOUR_S,
};

/**
 * The query of a range that ends now. Minutes are kept for 48 hours, but those of a day would cost the server eight times
 * as much as its hours, each time that something happens.
 */
export function queryOf(range: Range, now: Date): { since: string; step: "1m" | "1h" } {
  const since = new Date(now.getTime() - RANGE_S[range] * 1000);
  return { since: since.toISOString(), step: RANGE_S[range] >= 24 * HOUR_S ? "1h" : "1m" };
}

/** The columns of a chart: times in seconds, and the values of each series at them. */
export interface Series {
  times: number[];
  accepted: number[];
  succeeded: number[];
  failed: number[];
  rejected: number[];
  queueAge: number[];
  p50: (number | null)[];
  p95: (number | null)[];
}

const PARTS = 120;

/** The series of a range, with zeros where nothing happened. So many points that a chart has one for a few pixels. */
export function seriesOf(stats: Stats): Series {
  const step = stats.step === "1m" ? 60 : HOUR_S;
  const since = Date.parse(stats.since) / 1000;
  // The parts are counted back from the present, so that the last of them is a whole one.
  const end = (Math.floor(Date.parse(stats.until) / 1000 / step) + 1) * step;
  const width = step * Math.max(1, Math.ceil((end - since) / step / PARTS));
  const from = end - width * Math.ceil((end - since) / width);
  const times: number[] = [];
  for (let at = from; at < end; at += width) times.push(at);
  const merged: (StatsItem | undefined)[] = times.map(() => undefined);
  for (const item of stats.items) {
    const index = Math.floor((Date.parse(item.at) / 1000 - from) / width);
    if (index >= 0 && index < merged.length) merged[index] = add(merged[index], item);
  }
  const numbers = (pick: (item: StatsItem) => number) => merged.map((item) => (item ? pick(item) : 0));
  const quantiles = (q: number) =>
    merged.map((item) => (item ? quantile(stats.bounds, item.latency, q) : null));
  return {
    times,
    accepted: numbers((item) => item.accepted),
    succeeded: numbers((item) => item.succeeded),
    failed: numbers((item) => item.failed),
    rejected: numbers((item) => item.rejected),
    queueAge: numbers((item) => item.queue_age),
    p50: quantiles(0.5),
    p95: quantiles(0.95),
  };
}

/** All items of a range as one. */
export function totalOf(stats: Stats): StatsItem | undefined {
  return stats.items.reduce<StatsItem | undefined>(add, undefined);
}

function add(sum: StatsItem | undefined, item: StatsItem): StatsItem {
  if (sum === undefined) return item;
  return {
    at: sum.at,
    accepted: sum.accepted + item.accepted,
    rejected: sum.rejected + item.rejected,
    succeeded: sum.succeeded + item.succeeded,
    failed: sum.failed + item.failed,
    cancelled: sum.cancelled + item.cancelled,
    queue_age: Math.max(sum.queue_age, item.queue_age),
    latency: item.latency.map((count, bucket) => count + (sum.latency[bucket] ?? 0)),
  };
}

/**
 * The value below which a part of the values in buckets lies, such as 0.95 of them; null if there are none.
 *
 * Within a bucket, the values are taken to be spread evenly. Those above the last bound count as that bound.
 */
export function quantile(bounds: readonly number[], counts: readonly number[], part: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let below = 0;
  for (const [bucket, count] of counts.entries()) {
    if (below + count >= part * total && count > 0) {
      const low = bounds[bucket - 1] ?? 0;
      const high = bounds[bucket] ?? low;
      return low + (high - low) * ((part * total - below) / count);
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}
