import "./table.css";
import type { ComponentChildren } from "preact";
import { useLocation } from "preact-iso";

export interface Column<T> {
  key: string;
  title: string;
  cell: (row: T) => ComponentChildren;
  /** A width of CSS; columns without one share the rest. */
  width?: string;
  /** Numbers are at the right. */
  align?: "right";
  /** Left out on screens narrower than this. */
  from?: "medium" | "wide";
  /** It has controls of its own, such as a checkbox, so the link of the row is in the next column. */
  controls?: boolean;
}

interface TableProps<T> {
  /** What the table lists, for screen readers. */
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  /** The page of a row, to which a click anywhere on the row leads. */
  linkOf?: (row: T) => string;
}

/** A table of up to a few hundred rows. `VirtualTable` is for more. */
export function Table<T>({ label, columns, rows, keyOf, linkOf }: TableProps<T>) {
  const { route } = useLocation();
  return (
    <div class="table-scroll">
      <table class="table" aria-label={label}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" class={cellClass(column)} style={{ width: column.width }}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const link = linkOf?.(row);
            return (
              <tr
                key={keyOf(row)}
                class={link ? "table-link" : undefined}
                onClick={(event) => link && followsRow(event) && route(link)}
              >
                {columns.map((column, index) => (
                  <td key={column.key} class={cellClass(column)}>
                    {link && index === 0 ? <a href={link}>{column.cell(row)}</a> : column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function cellClass<T>(column: Column<T>): string {
  return [column.align === "right" ? "number" : "", column.from ? `from-${column.from}` : ""]
    .join(" ")
    .trim();
}

/** Whether a click on a row is meant for the row, and neither for a link or a button in it nor for selecting text. */
export function followsRow(event: MouseEvent): boolean {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
    return false;
  if ((event.target as Element).closest("a, button, input, label, summary")) return false;
  return window.getSelection()?.isCollapsed ?? true;
}
