import "./toasts.css";
import { useEffect, useState } from "preact/hooks";
import { describeProblem } from "./problems";

interface Toast {
  id: number;
  text: string;
  tone: "ok" | "bad";
  action?: ToastAction | undefined;
}

/** A button on a message. */
interface ToastAction {
  label: string;
  act: () => unknown;
}

const SHOWN_MS = 6000;
const ACTION_MS = 20_000;

let toasts: readonly Toast[] = [];
let count = 0;
const watchers = new Set<() => void>();

function set(changed: readonly Toast[]): void {
  toasts = changed;
  for (const watcher of watchers) watcher();
}

/** Show a message for some seconds; for longer if there is something to do. */
export function showToast(text: string, tone: Toast["tone"] = "ok", action?: ToastAction): void {
  const id = ++count;
  set([...toasts, { id, text, tone, action }]);
  const shownMs = action ? ACTION_MS : tone === "bad" ? 2 * SHOWN_MS : SHOWN_MS;
  setTimeout(() => drop(id), shownMs);
}

function drop(id: number): void {
  set(toasts.filter((each) => each.id !== id));
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
          {toast.action && <Action toast={toast} action={toast.action} />}
        </p>
      ))}
    </div>
  );
}

function Action({ toast, action }: { toast: Toast; action: ToastAction }) {
  const act = async () => {
    drop(toast.id);
    try {
      await action.act();
    } catch (error) {
      showProblem(error);
    }
  };
  return (
    <button type="button" class="button button-small" onClick={act}>
      {action.label}
    </button>
  );
}
