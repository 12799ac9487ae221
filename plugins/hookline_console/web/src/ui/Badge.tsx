import "./badge.css";
import type { ComponentChildren } from "preact";
import { texts } from "../texts";

export type Tone = "ok" | "warn" | "bad" | "info" | "wait" | "idle";

const TONES: Readonly<Record<string, Tone>> = {
  // executions and steps
  queued: "idle",
  running: "info",
  started: "info",
  waiting: "wait",
  succeeded: "ok",
  failed: "bad",
  cancelled: "idle",
  skipped: "idle",
  // flows
  active: "ok",
  paused: "warn",
  stopped: "idle",
  broken: "bad",
  // nodes
  serving: "ok",
  draining: "warn",
  gone: "idle",
};

export function toneOf(state: string): Tone {
  return TONES[state] ?? "idle";
}

/** A few words on a tinted ground. The words say everything; the colour only helps. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}

/** The state of an execution, a step, a flow or a node. */
export function StateBadge({ state }: { state: string }) {
  const names: Readonly<Record<string, string>> = texts.states;
  return <Badge tone={toneOf(state)}>{names[state] ?? state}</Badge>;
}
