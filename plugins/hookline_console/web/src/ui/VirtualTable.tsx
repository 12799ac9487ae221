import "./table.css";
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { texts } from "../texts";
import { type Column, cellClass, followsRow } from "./Table";
import { useMedia } from "./useMedia";

interface VirtualTableProps<T> {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  linkOf?: (row: T) => string;
  /** Load the next page; undefined if there is none. */
  more?: (() => void) | undefined;
}

const ROW_REM = 2.375;
/** The next page is loaded when so many rows are left below the view. */
const AHEAD = 30;

/** A table of any number of rows: only those in view are in the document. It scrolls with the page. */
export function VirtualTable<T>({ label, columns, rows, keyOf, linkOf, more }: VirtualTableProps<T>) {
  const { route } = useLocation();
  const bodyElement = useRef<HTMLDivElement>(null);
  const shown = useShownColumns(columns);
  const items = useVirtualRows(bodyElement, rows.length);
  const last = items.at(-1)?.index ?? 0;
  const wantsMore = more !== undefined && last >= rows.length - AHEAD;
  useEffect(() => {
    if (wantsMore) more?.();
  });
  const height = rows.length * rowHeight();
  const linked = shown.find((column) => !column.controls);
  return (
    // biome-ignore lint/a11y/useSemanticElements: rows of a table element can't be positioned
    <div
      class="vtable"
      role="table"
      aria-label={label}
      aria-rowcount={more ? -1 : rows.length + 1}
      style={{ "--columns": shown.map((column) => column.width ?? "minmax(0, 1fr)").join(" ") }}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div role="rowgroup">
        {/* biome-ignore lint/a11y/useSemanticElements: as above */}
        {/* biome-ignore lint/a11y/useFocusableInteractive: a row isn't interactive */}
        <div class="vtable-head" role="row" aria-rowindex={1}>
          {shown.map((column) => (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: as above
            <div key={column.key} role="columnheader" class={cellClass(column)}>
              {column.title}
            </div>
          ))}
        </div>
      </div>
      {/* biome-ignore lint/a11y/useSemanticElements: as above */}
      <div class="vtable-body" role="rowgroup" ref={bodyElement} style={{ height: `${height}px` }}>
        {items.map(({ index, start }) => {
          const row = rows[index];
          if (row === undefined) return null;
          const link = linkOf?.(row);
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above
            // biome-ignore lint/a11y/useFocusableInteractive: as above
            // biome-ignore lint/a11y/useKeyWithClickEvents: the link in the first cell is for the keyboard
            <div
              key={keyOf(row)}
              class={`vtable-row${link ? " table-link" : ""}`}
              role="row"
              aria-rowindex={index + 2}
              style={{ transform: `translateY(${start}px)` }}
              onClick={(event) => link && followsRow(event) && route(link)}
            >
              {shown.map((column) => (
                // biome-ignore lint/a11y/useSemanticElements: as above
                <div key={column.key} role="cell" class={cellClass(column)}>
                  {link && column === linked ? <a href={link}>{column.cell(row)}</a> : column.cell(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
      {more && <p class="vtable-foot">{texts.common.loadingMore}</p>}
    </div>
  );
}

function rowHeight(): number {
  return ROW_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/** The columns for which the screen is wide enough. */
function useShownColumns<T>(columns: readonly Column<T>[]): readonly Column<T>[] {
  const belowWide = useMedia("(max-width: 64rem)");
  const belowMedium = useMedia("(max-width: 44rem)");
  return columns.filter(
    (column) => !(column.from === "wide" && belowWide) && !(column.from === "medium" && belowMedium),
  );
}

function useVirtualRows(body: { readonly current: HTMLElement | null }, count: number) {
  const [, redraw] = useReducer((turn: number) => turn + 1, 0);
  const [margin, setMargin] = useState(0);
  const scroller = () => body.current?.closest<HTMLElement>("[data-scroller]") ?? null;
  const options = {
    count,
    getScrollElement: scroller,
    estimateSize: rowHeight,
    overscan: 12,
    scrollMargin: margin,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(undefined),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, HTMLElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => {
    const place = scroller();
    if (place && body.current) {
      const top =
        body.current.getBoundingClientRect().top - place.getBoundingClientRect().top + place.scrollTop;
      if (Math.abs(top - margin) > 1) setMargin(top);
    }
    virtualizer._willUpdate();
  });
  return virtualizer.getVirtualItems().map((item) => ({ index: item.index, start: item.start - margin }));
}
