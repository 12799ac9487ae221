import { api, body, type Schemas } from "../api/client";
import { usePages } from "../api/resource";
import { texts } from "../texts";
import { FilterBar, SelectFilter, TextFilter, useFilters } from "../ui/Filters";
import { shortId } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import type { Column } from "../ui/Table";
import { Time } from "../ui/Time";
import { VirtualTable } from "../ui/VirtualTable";

const said = texts.audit;

type Entry = Schemas["AuditView"];
type Operation = Entry["operation"];

/** The operations whose subject has no name. */
const KNOWN_BY_ID = /^(session|sign_in_link|token)\./;

/** Who changed what, newest first. */
export function Audit() {
  const filters = useFilters(["operation", "actor", "flow"]);
  const { operation, actor, flow } = filters.values;
  const entries = usePages(
    (cursor, signal) =>
      body(
        api.GET("/api/v1/audit", {
          params: { query: { operation: operation as Operation | undefined, actor, flow_id: flow, cursor } },
          signal,
        }),
      ),
    [operation, actor, flow],
  );
  return (
    <Page title={texts.pages.audit} lead={said.lead}>
      <FilterBar filters={filters}>
        <SelectFilter
          filters={filters}
          name="operation"
          label={said.allOperations}
          options={Object.entries(said.operations).map(([value, label]) => ({ value, label }))}
        />
        <TextFilter filters={filters} name="actor" label={said.actorFilter} />
        <TextFilter filters={filters} name="flow" label={said.flowFilter} />
      </FilterBar>
      <div class="card">
        <Loaded resource={entries} lines={12}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={said.none}>{said.noneDetail}</Empty>
            ) : (
              <VirtualTable
                label={texts.pages.audit}
                columns={COLUMNS}
                rows={rows}
                keyOf={(entry) => entry.id}
                more={entries.more}
              />
            )
          }
        </Loaded>
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Entry>[] = [
  { key: "at", title: said.at, width: "9rem", cell: (entry) => <Time at={entry.at} /> },
  {
    key: "operation",
    title: said.operation,
    width: "minmax(6rem, 1fr)",
    cell: (entry) => said.operations[entry.operation] ?? entry.operation,
  },
  { key: "subject", title: said.subject, cell: (entry) => <Subject entry={entry} /> },
  {
    key: "detail",
    title: said.detail,
    width: "minmax(0, 1.5fr)",
    from: "medium",
    cell: (entry) => <span class="foreign">{entry.detail}</span>,
  },
  {
    key: "actor",
    title: said.actor,
    width: "minmax(7rem, 9rem)",
    from: "medium",
    cell: (entry) => entry.actor,
  },
  { key: "address", title: said.address, width: "9rem", from: "wide", cell: (entry) => entry.address },
];

/** What was changed, with a link to it. */
function Subject({ entry }: { entry: Entry }) {
  if (entry.operation.startsWith("execution.") && entry.subject) {
    return <a href={`/executions/${entry.subject}`}>{shortId(entry.subject)}</a>;
  }
  if (entry.flow_id) return <a href={`/flows/${encodeURIComponent(entry.flow_id)}`}>{entry.flow_id}</a>;
  if (entry.operation.startsWith("credential.") && entry.subject) {
    return <a href={`/credentials/${encodeURIComponent(entry.subject)}`}>{entry.subject}</a>;
  }
  if (entry.subject && KNOWN_BY_ID.test(entry.operation)) {
    return <code title={entry.subject}>{shortId(entry.subject)}</code>;
  }
  return <span class="foreign">{entry.subject}</span>;
}
