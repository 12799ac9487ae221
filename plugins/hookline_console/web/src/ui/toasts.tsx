import "./toasts.css";
import { useEffect, useState } from "preact/hooks";
import { describeProblem } from "./problems";

interface Toast {
  id: number;
  text: string;
  tone: "ok" | "bad";
}

const SHOWN_MS = 6000;

let toasts: readonly Toast[] = [];
let count = 0;
const watchers = new Set<() => void>();

function set(changed: readonly Toast[]): void {
  toasts = changed;
  for (const watcher of watchers) watcher();
}

/** Show a message for some seconds. */
export function showToast(text: string, tone: Toast["tone"] = "ok"): void {
  const id = ++count;
  set([...toasts, { id, text, tone }]);
  setTimeout(() => set(toasts.filter((each) => each.id !== id)), tone === "bad" ? 2 * SHOWN_MS : SHOWN_MS);
}

/** Show why something failed. */
export function showProblem(error: unknown): void {
  showToast(describeProblem(error).detail, "bad");
}

/** The messages that are shown, which screen readers read out. */
export function Toasts() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watcher = () => redraw((turn) => turn + 1);
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
    };
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <p key={toast.id} class={`toast toast-${toast.tone} foreign`}>
          {toast.text}
        </p>
      ))}
    </div>
  );
}
