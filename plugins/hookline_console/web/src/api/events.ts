/**
 * The live events of the server, over one connection for all tabs of this browser.
 *
 * The tab that holds a lock keeps the connection and passes each event on to the others. When it is closed, the next
 * tab gets the lock, and continues after the last event that it has seen.
 */

import { announceSignedOut } from "./client";
import { followStream } from "./stream";

export interface HooklineEvent {
  /**
   * `execution.queued`, `.started`, `.waiting`, `.ended`, `step.finished`, `request.captured`, or `missed` if events
   * were lost.
   */
  kind: string;
  data: {
    execution_id?: string;
    flow_id?: string;
    at?: string;
    state?: string;
    outcome?: string;
    reason?: string | null;
    error?: { code: string; message: string; step?: string | null; retryable?: boolean } | null;
    step?: { id: string; path: string; use: string; state: string; attempt: number };
  };
}

export type Connection = "connecting" | "open" | "lost";

type Message = { event: HooklineEvent; id: string } | { connection: Connection };

/** A new tab asks for the state of the connection, which another one may have had for long. */
const ASK = "ask";

const NAME = "hookline-events";

class Events {
  connection: Connection = "connecting";
  private readonly listeners = new Set<(event: HooklineEvent) => void>();
  private readonly watchers = new Set<(connection: Connection) => void>();
  private lastId = "";
  private running: AbortController | undefined;

  /** Begin to listen, once there is a session. */
  start(): void {
    if (this.running) return;
    const controller = new AbortController();
    this.running = controller;
    const { signal } = controller;
    const channel = new BroadcastChannel(NAME);
    let leading = false;
    channel.onmessage = ({ data }: MessageEvent<Message | typeof ASK>) => {
      if (data !== ASK) this.receive(data);
      else if (leading) channel.postMessage({ connection: this.connection });
    };
    channel.postMessage(ASK);
    signal.addEventListener("abort", () => channel.close());
    const lead = async () => {
      leading = true;
      await followStream({
        url: "/api/v1/events",
        after: () => this.lastId,
        signal,
        tell: (message) => {
          this.receive(message);
          channel.postMessage(message);
        },
      });
      if (!signal.aborted) announceSignedOut();
    };
    // Without a secure context there are no locks, and each tab has a connection of its own.
    const following = navigator.locks ? navigator.locks.request(NAME, { signal }, lead) : lead();
    following.catch(() => undefined);
  }

  stop(): void {
    this.running?.abort();
    this.running = undefined;
  }

  subscribe(listener: (event: HooklineEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  watchConnection(watcher: (connection: Connection) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  private receive(message: Message): void {
    if ("connection" in message) {
      this.connection = message.connection;
      for (const watcher of this.watchers) watcher(message.connection);
      return;
    }
    if (message.id) this.lastId = message.id;
    for (const listener of this.listeners) listener(message.event);
  }
}

export const events = new Events();
