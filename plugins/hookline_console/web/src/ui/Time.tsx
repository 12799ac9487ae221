import { formatDuration, formatExactTime, formatRelative, formatTime } from "./format";
import { secondsBetween } from "./moments";
import { useNow } from "./useNow";

interface TimeProps {
  /** An RFC 3339 time. */
  at: string | null | undefined;
  /** Show the distance from now, such as "3 minutes ago". */
  relative?: boolean;
}

/** A moment in the viewer's time zone, with the exact time on hover. */
export function Time({ at, relative }: TimeProps) {
  const now = useNow(relative ? 10_000 : 60_000);
  if (!at) return <span class="muted">–</span>;
  const moment = new Date(at);
  return (
    <time dateTime={at} title={formatExactTime(moment, at)}>
      {relative ? formatRelative(moment, now) : formatTime(moment, now)}
    </time>
  );
}

interface DurationProps {
  /** RFC 3339 times. Without an end, the duration goes on. */
  from: string | null | undefined;
  until?: string | null | undefined;
}

/** The time between two moments, which grows while the second is missing. */
export function Duration({ from, until }: DurationProps) {
  const now = useNow(until || !from ? null : 1000);
  if (!from) return <span class="muted">–</span>;
  return <span>{formatDuration(secondsBetween(from, until, now))}</span>;
}
