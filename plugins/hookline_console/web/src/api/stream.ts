import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { Connection, HooklineEvent } from "./events";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
/** The server sends a comment every 15 seconds, so a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000;

/** The time until the next attempt to connect, after so many failures in a row; `random` is below 1. */
export function backOff(failures: number, random: number): number {
  const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return longest / 2 + (longest / 2) * random;
}

/** The event of a message of the stream. */
export function readEvent(message: EventSourceMessage): HooklineEvent {
  const data = JSON.parse(message.data);
  return message.event === "gap" ? { kind: "missed", data: {} } : { kind: message.event ?? "", data };
}

interface Following {
  url: string;
  after: () => string;
  signal: AbortSignal;
  tell: (message: { event: HooklineEvent; id: string } | { connection: Connection }) => void;
}

/** Follow the stream, connecting again with a back-off, until the signal or until there is no session any more. */
export async function followStream({ url, after, signal, tell }: Following): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const status = await connectOnce(url, after(), signal, tell, () => {
        failures = 0;
      });
      if (status === 401 || status === 403) return;
    } catch {
      // The server or the network is gone for a while; the state of the connection tells so.
    }
    if (signal.aborted) return;
    tell({ connection: "lost" });
    await pause(backOff(failures++, Math.random()), signal);
  }
}

async function connectOnce(
  url: string,
  after: string,
  signal: AbortSignal,
  tell: Following["tell"],
  opened: () => void,
): Promise<number> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (after) headers["Last-Event-ID"] = after;
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, silence.signal]) });
    if (!response.ok || !response.body) return response.status;
    opened();
    tell({ connection: "open" });
    // Without an event to continue after, anything may have happened between the loading of a page and now.
    if (!after) tell({ event: { kind: "missed", data: {} }, id: "" });
    const parser = createParser({
      onEvent: (message) => tell({ event: readEvent(message), id: message.id ?? "" }),
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return response.status;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
