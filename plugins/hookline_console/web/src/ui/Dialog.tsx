import "./dialog.css";
import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { texts } from "../texts";
import { Button, type ButtonProps } from "./Button";
import { ProblemContext } from "./ProblemContext";
import { describeProblem } from "./problems";
import { showProblem } from "./toasts";
import { useModal } from "./useModal";

interface DialogProps {
  title: string;
  onClose: () => void;
  children?: ComponentChildren;
  /** The buttons at its end, after "Cancel". */
  actions?: ComponentChildren;
  wide?: boolean;
}

/**
 * A dialog over the page, while it is rendered. Escape and a click beside it close it.
 *
 * It shows why an action of its buttons failed: the toasts are behind it, where screen readers don't look.
 */
export function Dialog({ title, onClose, children, actions, wide }: DialogProps) {
  const modal = useModal(onClose);
  const titleId = useId();
  const [problem, setProblem] = useState<string>();
  const report = (error: unknown) => {
    // An action may go on after it has closed the dialog.
    if (error !== undefined && modal.ref.current === null) showProblem(error);
    else setProblem(error === undefined ? undefined : describeProblem(error).detail);
  };
  return (
    <dialog {...modal} class={`dialog${wide ? " dialog-wide" : ""}`} aria-labelledby={titleId}>
      <div class="dialog-content">
        <h2 id={titleId}>{title}</h2>
        <ProblemContext.Provider value={report}>
          <div class="dialog-body">{children}</div>
          {problem && (
            <p class="dialog-problem foreign" role="alert">
              {problem}
            </p>
          )}
          <div class="dialog-actions">
            <Button kind="quiet" onClick={onClose}>
              {actions ? texts.common.cancel : texts.common.close}
            </Button>
            {actions}
          </div>
        </ProblemContext.Provider>
      </div>
    </dialog>
  );
}

interface ActionDialogProps
  extends Omit<DialogProps, "actions">,
    Pick<ButtonProps, "kind" | "scope" | "disabled"> {
  /** The verb of the action, on its button. */
  action: string;
  onAction: () => unknown;
}

/** A dialog with an action. It closes after the action, unless that fails or returns false. */
export function ActionDialog({
  action,
  onAction,
  kind = "primary",
  scope,
  disabled,
  ...dialog
}: ActionDialogProps) {
  const act = async () => {
    if ((await onAction()) !== false) dialog.onClose();
  };
  return (
    <Dialog
      {...dialog}
      actions={
        <Button kind={kind} scope={scope} disabled={disabled} onClick={act}>
          {action}
        </Button>
      }
    />
  );
}
