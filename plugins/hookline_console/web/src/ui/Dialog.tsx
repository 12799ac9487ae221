import "./dialog.css";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { texts } from "../texts";
import { Button, type ButtonProps } from "./Button";
import { useModal } from "./useModal";

interface DialogProps {
  title: string;
  onClose: () => void;
  children?: ComponentChildren;
  /** The buttons at its end, after "Cancel". */
  actions?: ComponentChildren;
  wide?: boolean;
}

/** A dialog over the page, while it is rendered. Escape and a click beside it close it. */
export function Dialog({ title, onClose, children, actions, wide }: DialogProps) {
  const element = useModal();
  const titleId = useId();
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, too
    <dialog
      ref={element}
      class={`dialog${wide ? " dialog-wide" : ""}`}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-content">
        <h2 id={titleId}>{title}</h2>
        <div class="dialog-body">{children}</div>
        <div class="dialog-actions">
          <Button kind="quiet" onClick={onClose}>
            {actions ? texts.common.cancel : texts.common.close}
          </Button>
          {actions}
        </div>
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
