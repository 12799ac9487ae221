import "./dialog.css";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { texts } from "../texts";
import { Button } from "./Button";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** The buttons at its end, after "Cancel". */
  actions?: ComponentChildren;
  wide?: boolean;
}

/** A dialog over the page, while it is rendered. Escape and a click beside it close it. */
export function Dialog({ title, onClose, children, actions, wide }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
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

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  /** The verb of the action, on the button. */
  action: string;
  danger?: boolean;
  onConfirm: () => unknown;
  onClose: () => void;
}

/** A question before an action that can't be undone. */
export function Confirm({ title, children, action, danger, onConfirm, onClose }: ConfirmProps) {
  const confirm = async () => {
    await onConfirm();
    onClose();
  };
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <Button kind={danger ? "danger" : "primary"} onClick={confirm}>
          {action}
        </Button>
      }
    >
      {children}
    </Dialog>
  );
}
