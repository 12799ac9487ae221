import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { keepFocus, placesAfter } from "./kept_focus";

interface Modal {
  ref: RefObject<HTMLDialogElement | null>;
  onCancel: (event: Event) => void;
  onMouseDown: (event: MouseEvent) => void;
  onMouseUp: (event: MouseEvent) => void;
  onClick: (event: MouseEvent) => void;
}

/**
 * The properties of a `dialog` that is shown over the page while it is rendered. Escape and a click beside it close it.
 * The focus returns to the element that had it before, or to one near it if that is gone.
 */
export function useModal(onClose: () => void): Modal {
  const ref = useRef<HTMLDialogElement>(null);
  // Not an effect after painting: by then the dialog has left the document, and with it the focus.
  useLayoutEffect(() => {
    const dialog = ref.current;
    const places = placesAfter(document.activeElement ?? document.body);
    dialog?.showModal();
    return () => {
      dialog?.close();
      keepFocus(places);
    };
  }, []);
  // A text may be selected by a drag that ends beside the dialog. That is a click at the dialog, too.
  const isBeside = useRef(false);
  return {
    ref,
    onCancel: (event) => {
      event.preventDefault();
      onClose();
    },
    onMouseDown: (event) => {
      isBeside.current = event.target === ref.current;
    },
    onMouseUp: (event) => {
      isBeside.current &&= event.target === ref.current;
    },
    onClick: (event) => {
      if (isBeside.current && event.target === ref.current) onClose();
    },
  };
}
