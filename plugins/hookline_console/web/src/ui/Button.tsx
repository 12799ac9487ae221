import "./button.css";
import type { ComponentChildren } from "preact";
import { useContext, useRef, useState } from "preact/hooks";
import type { Scope } from "../api/session";
import { useAllows } from "../shell/SessionContext";
import { texts } from "../texts";
import { useKeptFocus } from "./kept_focus";
import { ProblemContext } from "./ProblemContext";

export interface ButtonProps {
  children: ComponentChildren;
  onClick?: () => unknown;
  kind?: "primary" | "plain" | "quiet" | "danger";
  type?: "button" | "submit";
  /** The scope that its action needs. Without it, the button says so and does nothing. */
  scope?: Scope | undefined;
  disabled?: boolean | undefined;
  /** What it is for, if its content is an icon. */
  label?: string;
  small?: boolean;
}

/**
 * A button. While its action runs, it can't be pressed again; if the action fails, a message tells why. Its action may
 * remove it.
 */
export function Button({
  children,
  onClick,
  kind = "plain",
  type = "button",
  scope,
  disabled,
  label,
  small,
}: ButtonProps) {
  const element = useRef<HTMLButtonElement>(null);
  useKeptFocus(element);
  const [busy, setBusy] = useState(false);
  const report = useContext(ProblemContext);
  const allowed = useAllows(scope);
  const press = async (event: MouseEvent) => {
    if (!allowed || busy) {
      event.preventDefault();
      return;
    }
    if (!onClick) return;
    setBusy(true);
    report(undefined);
    try {
      await onClick();
    } catch (error) {
      report(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button
      ref={element}
      type={type}
      class={`button button-${kind}${small ? " button-small" : ""}`}
      onClick={press}
      disabled={disabled}
      aria-disabled={!allowed || busy}
      aria-busy={busy}
      aria-label={label}
      title={allowed ? label : texts.common.needsScope(scope ?? "")}
    >
      {children}
    </button>
  );
}
