/** Numbers, times and durations as text, in the viewer's language and time zone. */

const DAY_MS = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const date = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const exact = new Intl.DateTimeFormat(undefined, {
  dateStyle: "full",
  timeStyle: "long",
});
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const integer = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });

/** A moment, as short as it is clear: the time of day today, with the date before, with the year in other years. */
export function formatTime(at: Date, now: Date): string {
  if (at.toDateString() === now.toDateString()) return clock.format(at);
  if (Math.abs(now.getTime() - at.getTime()) < 300 * DAY_MS) return dayAndClock.format(at);
  return date.format(at);
}

/** A moment with everything that is known: the day, the time with its zone, and UTC to the fraction of a second. */
export function formatExactTime(at: Date, written: string): string {
  return `${exact.format(at)}\n${written}`;
}

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** The distance to a moment, such as "3 minutes ago". */
export function formatRelative(at: Date, now: Date): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** A number of seconds with three digits at most: "0 ms", "350 ms", "1.24 s", "2 m 03 s", "4 h 12 m", "3 d 04 h", "30 d". */
export function formatDuration(seconds: number): string {
  const milliseconds = seconds * 1000;
  if (milliseconds > 0 && milliseconds < 0.05) return "<0.1 ms";
  if (milliseconds < 999.5)
    return `${milliseconds < 10 && milliseconds > 0 ? milliseconds.toFixed(1) : milliseconds.toFixed(0)} ms`;
  if (seconds < 59.95) return `${seconds < 9.995 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const parts = (large: number, unit: string, small: number, smaller: string) =>
    `${large} ${unit} ${String(small).padStart(2, "0")} ${smaller}`;
  if (whole < 3_600) return parts(Math.floor(whole / 60), "m", whole % 60, "s");
  if (whole < 86_400) return parts(Math.floor(whole / 3_600), "h", Math.floor((whole % 3_600) / 60), "m");
  if (whole % 86_400 < 3_600) return `${Math.floor(whole / 86_400)} d`;
  return parts(Math.floor(whole / 86_400), "d", Math.floor((whole % 86_400) / 3_600), "h");
}

/** A time on a scale, with so many digits that it differs from the next one, which is `step` later. Both in seconds. */
export function formatOffset(seconds: number, step: number): string {
  const digits = (least: number) => Math.min(3, Math.max(0, Math.ceil(-Math.log10(least) - 1e-9)));
  if (seconds > 0 && seconds < 0.9995 && step < 0.001)
    return `${(seconds * 1000).toFixed(digits(step * 1000))} ms`;
  if (seconds >= 0.9995 && seconds < 59.95 && step < 0.1) return `${seconds.toFixed(digits(step))} s`;
  return formatDuration(seconds);
}

export function formatNumber(value: number): string {
  return integer.format(value);
}

/** A number in few characters: 950, 12.3K, 4M. */
export function formatCompact(value: number): string {
  return Math.abs(value) < 1000 ? integer.format(Math.round(value * 10) / 10) : compact.format(value);
}

const SIZES = ["B", "KB", "MB", "GB", "TB"];

/** A number of bytes, in multiples of 1,000. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${SIZES[unit]}`;
}

/** The first digits of a version or of an id, by which people tell them apart. */
export function short(hash: string): string {
  return hash.slice(0, 8);
}

/** The last digits of an execution's id: ids that were made together begin alike. */
export function shortId(id: string): string {
  return id.slice(-8);
}

const MOST_ROWS = 12;

/** The number of rows of a control that shows a text of several lines. */
export function rowsOf(text: string): number {
  return Math.min(MOST_ROWS, text.split("\n").length);
}
