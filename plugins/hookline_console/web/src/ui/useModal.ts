import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** Show a `dialog` over the page while it is rendered. The focus returns to the element that had it before. */
export function useModal(): RefObject<HTMLDialogElement | null> {
  const element = useRef<HTMLDialogElement>(null);
  // Not an effect after painting: by then the dialog has left the document, and with it the focus.
  useLayoutEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return element;
}
