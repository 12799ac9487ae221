import "./toasts.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { texts } from "../texts";
import { describeProblem } from "./problems";
import { type Toast, type ToastAction, ToastList } from "./toast_list";

const toasts = new ToastList();

/** Show a message for some seconds; for longer if there is something to do. */
export function showToast(text: string, tone: Toast["tone"] = "ok", action?: ToastAction): void {
  toasts.add(text, tone, action);
}

/** Show why something failed. */
export function showProblem(error: unknown): void {
  showToast(describeProblem(error).detail, "bad");
}

/** The messages that are shown, which screen readers read out. F6 moves the focus to them, and back. */
export function Toasts() {
  const [, redraw] = useState(0);
  const element = useRef<HTMLDivElement>(null);
  const before = useRef<HTMLElement | null>(null);
  useEffect(() => toasts.watch(() => redraw((turn) => turn + 1)), []);
  const goBack = () => {
    const to = before.current;
    (document.activeElement as HTMLElement | null)?.blur();
    to?.focus();
  };
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key !== "F6" || toasts.shown.length === 0) return;
      event.preventDefault();
      if (element.current?.contains(document.activeElement)) return goBack();
      before.current = document.activeElement as HTMLElement | null;
      element.current?.focus();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  const act = async ({ id, action }: Toast) => {
    // First, so that the focus isn't lost with the button.
    goBack();
    toasts.drop(id);
    try {
      await action?.act();
    } catch (error) {
      showProblem(error);
    }
  };
  return (
    <div
      ref={element}
      class="toasts"
      role="status"
      aria-live="polite"
      aria-label={texts.common.messages}
      tabIndex={-1}
      onMouseEnter={() => toasts.hold("pointer")}
      onMouseLeave={() => toasts.release("pointer")}
      onFocusIn={() => toasts.hold("focus")}
      onFocusOut={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget as Node | null)) before.current = null;
        toasts.release("focus");
      }}
    >
      {toasts.shown.map((toast) => (
        <p
          key={toast.id}
          class={`toast toast-${toast.tone} foreign`}
          role={toast.tone === "bad" ? "alert" : undefined}
        >
          {toast.text}
          {toast.action && (
            <button
              type="button"
              class="button button-small"
              aria-keyshortcuts="F6"
              onClick={() => act(toast)}
            >
              {toast.action.label}
            </button>
          )}
        </p>
      ))}
    </div>
  );
}
