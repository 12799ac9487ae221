import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Rows that are rendered above and below those in view. */
const OVERSCAN = 10;

/**
 * Which rows of a list that scrolls by itself are in view. All rows have the same height, in rem.
 *
 * The list gets `element` as its `ref` and `update` as its `onScroll`, and renders the rows from `first` to `last`.
 */
export function useFixedRows(count: number, rowRem: number) {
  const element = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ first: 0, last: 60 });
  const height = () => rowRem * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  const update = () => {
    const list = element.current;
    if (!list) return;
    const first = Math.max(0, Math.floor(list.scrollTop / height()) - OVERSCAN);
    const last = Math.ceil((list.scrollTop + list.clientHeight) / height()) + OVERSCAN;
    setView((before) => (before.first === first && before.last === last ? before : { first, last }));
  };
  useLayoutEffect(update, [count]);
  useEffect(() => {
    window.addEventListener("resize", update);
    return () => window.removeEventListener("resize", update);
  });
  /** The number of rows of one page. */
  const page = () => Math.max(1, Math.floor((element.current?.clientHeight ?? 0) / height()) - 1);
  /** Scroll as little as shows a row. */
  const reveal = (index: number) => {
    const list = element.current;
    if (!list) return;
    const top = index * height();
    if (top < list.scrollTop) list.scrollTop = top;
    // A row and a half, because padding is around the rows.
    else if (top + 1.5 * height() > list.scrollTop + list.clientHeight)
      list.scrollTop = top + 1.5 * height() - list.clientHeight;
    update();
  };
  return { element, ...view, update, page, reveal };
}
