/** Moments as numbers, as exact as the server sends them: `Date` drops what is less than a millisecond. */

/** Microseconds since 1970 of a time of the API. */
export function micros(time: string): number {
  const [, whole = time, fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return Date.parse(`${whole}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** The seconds between two times of the API; up to `now` without the second one, and never below 0. */
export function secondsBetween(from: string, until: string | null | undefined, now: Date): number {
  const end = until ? micros(until) : now.getTime() * 1000;
  return Math.max(0, end - micros(from)) / 1e6;
}
