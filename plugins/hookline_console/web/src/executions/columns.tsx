/** The columns of lists of executions. */

import { Text } from "../json/Text";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { shortId } from "../ui/format";
import type { Column } from "../ui/Table";
import { Duration, Time } from "../ui/Time";
import type { Summary } from "./live_list";

const words = texts.executions.list;

/** A checkbox for each row. */
export function selectColumn(selected: ReadonlySet<string>, toggle: (id: string) => void): Column<Summary> {
  return {
    key: "select",
    title: words.selection,
    width: "1.25rem",
    controls: true,
    cell: (row) => (
      <input
        type="checkbox"
        aria-label={words.select(shortId(row.id))}
        checked={selected.has(row.id)}
        onChange={() => toggle(row.id)}
      />
    ),
  };
}

export const COLUMNS: readonly Column<Summary>[] = [
  { key: "id", title: words.id, width: "5rem", cell: (row) => <span class="mono">{shortId(row.id)}</span> },
  {
    key: "flow",
    title: words.flow,
    width: "minmax(4rem, 1fr)",
    cell: (row) => <span class="foreign">{row.flow_id}</span>,
  },
  { key: "state", title: words.state, width: "6.75rem", cell: (row) => <StateBadge state={row.state} /> },
  {
    key: "detail",
    title: words.detail,
    width: "minmax(0, 2.5fr)",
    from: "medium",
    cell: (row) => <Detail row={row} />,
  },
  {
    key: "took",
    title: words.took,
    width: "5rem",
    align: "right",
    from: "wide",
    cell: (row) => <Duration from={row.started_at} until={row.finished_at} />,
  },
  {
    key: "at",
    title: words.accepted,
    width: "8.5rem",
    align: "right",
    from: "medium",
    cell: (row) => <Time at={row.created_at} />,
  },
];

/** The error, the reason for which it waits, or an outcome that the state doesn't say. */
function Detail({ row }: { row: Summary }) {
  if (row.error)
    return (
      <span title={row.error.message}>
        <code>{row.error.code}</code>{" "}
        <span class="muted">
          <Text>{row.error.message}</Text>
        </span>
      </span>
    );
  const reason = row.state === "waiting" ? row.reason : null;
  if (reason) return <span class="muted foreign">{texts.executions.reasons[reason] ?? reason}</span>;
  const outcome = row.outcome === "completed" || row.outcome === row.state ? null : row.outcome;
  return <span class="muted">{outcome ? (words.outcomes[outcome] ?? outcome) : ""}</span>;
}
