import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { useNow } from "../ui/useNow";
import { type Capture, timeLeft } from "./captured";

/** How long a capture goes on, or that it is closed. */
export function TimeLeft({ capture }: { capture: Capture }) {
  const left = useTimeLeft(capture);
  return left === null ? (
    <Badge tone="idle">{texts.inspector.closed}</Badge>
  ) : (
    <Badge tone="ok">{texts.inspector.timeLeft(left)}</Badge>
  );
}

/** The minutes and seconds that are left, which count down; null if the capture is closed. */
export function useTimeLeft(capture: Capture): string | null {
  return timeLeft(capture, useNow(capture.open ? 1000 : null));
}
