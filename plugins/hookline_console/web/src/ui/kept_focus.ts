/** The focus of the keyboard stays on the page when the element that has it is removed. */

import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

const FOCUSABLE =
  "a[href], button:enabled, input:enabled, select:enabled, textarea:enabled, summary, [tabindex='0']";

/** Where the focus goes once an element is removed, best first: to the actions beside it, or else to the page's heading. */
export function placesAfter(element: Element): HTMLElement[] {
  const beside = element.closest("dialog, .page-actions")?.querySelectorAll<HTMLElement>(FOCUSABLE) ?? [];
  const isLater = (other: Element) =>
    (element.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
  const others = [...beside].filter((other) => other !== element);
  const earlier = others.filter((other) => !isLater(other)).reverse();
  const heading = element.closest(".page")?.querySelector("h1") ?? [];
  return [...others.filter(isLater), ...earlier, heading].flat();
}

/** Move the focus to the first place that can have it, once the page is drawn, unless something else has it then. */
export function keepFocus(places: readonly HTMLElement[]): void {
  queueMicrotask(() => {
    const isLost = () => document.activeElement === null || document.activeElement === document.body;
    for (const place of places) {
      if (!isLost()) return;
      place.focus({ preventScroll: true });
    }
  });
}

/** Keep the focus when an element is removed that has it. If its page is left, the next one takes the focus. */
export function useKeptFocus(ref: RefObject<HTMLElement | null>): void {
  // Not an effect after painting: by then the element has left the document, and with it the focus.
  useLayoutEffect(() => {
    const element = ref.current;
    return () => {
      if (element && element === document.activeElement) keepFocus(placesAfter(element));
    };
  }, []);
}
