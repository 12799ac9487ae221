import "./dead_letters.css";
import { useState } from "preact/hooks";
import { useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { usePages, useResource } from "../api/resource";
import { BulkDialog } from "../executions/BulkDialog";
import type { Operation } from "../executions/bulk";
import { COLUMNS } from "../executions/columns";
import { useExecutions } from "../executions/useExecutions";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { FilterBar, SelectFilter, useFilters } from "../ui/Filters";
import { formatNumber } from "../ui/format";
import { Empty, Failed, Loaded } from "../ui/Notices";
import { Facts, Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { VirtualTable } from "../ui/VirtualTable";

type Group = Schemas["DeadLettersView"];

const words = texts.deadLetters;

const GROUPS: readonly Column<Group>[] = [
  {
    key: "error",
    title: words.cause,
    cell: (group) => (
      <span class="letters-cause">
        <code>{group.error.code}</code> <Text>{group.example}</Text>
      </span>
    ),
  },
  {
    key: "flow",
    title: words.flow,
    width: "8rem",
    cell: (group) => <span class="foreign">{group.flow_id}</span>,
  },
  {
    key: "step",
    title: words.step,
    width: "9rem",
    from: "medium",
    cell: (group) => <span class="foreign">{group.error.step ?? "–"}</span>,
  },
  {
    key: "first",
    title: words.first,
    width: "9rem",
    from: "wide",
    cell: (group) => <Time at={group.first_at} />,
  },
  {
    key: "last",
    title: words.last,
    width: "9rem",
    from: "medium",
    cell: (group) => <Time at={group.last_at} />,
  },
  {
    key: "count",
    title: words.count,
    width: "5rem",
    align: "right",
    cell: (group) => formatNumber(group.count),
  },
];

/** Failed executions that need attention, by cause. */
export function DeadLetters() {
  const filters = useFilters(["flow_id"]);
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const { flow_id } = filters.values;
  const groups = usePages(
    (cursor, signal) =>
      body(
        api.GET("/api/v1/dead-letters", {
          params: { query: { ...(flow_id ? { flow_id } : {}), ...(cursor ? { cursor } : {}) } },
          signal,
        }),
      ),
    [flow_id],
    (event) => event.kind === "execution.ended" || event.data.reason === "reopened",
  );
  return (
    <Page title={texts.pages.deadLetters} lead={words.lead}>
      <FilterBar filters={filters}>
        <SelectFilter
          filters={filters}
          name="flow_id"
          label={texts.executions.list.allFlows}
          options={(flows.value?.items ?? []).map((flow) => ({ value: flow.id, label: flow.id }))}
        />
      </FilterBar>
      <div class="card">
        <Loaded resource={groups}>
          {(found) =>
            found.length === 0 ? (
              <Empty title={words.none}>{words.noneDetail}</Empty>
            ) : (
              <>
                <Table
                  label={texts.pages.deadLetters}
                  columns={GROUPS}
                  rows={found}
                  keyOf={(group) => group.cause}
                  linkOf={(group) => `/dead-letters/${encodeURIComponent(group.cause)}`}
                />
                {groups.more && (
                  <p class="letters-more">
                    <Button onClick={groups.more}>{words.more}</Button>
                  </p>
                )}
              </>
            )
          }
        </Loaded>
      </div>
    </Page>
  );
}

/** The group of a cause; null if nothing of it is left, which isn't an error here. */
async function loadGroup(cause: string, signal: AbortSignal): Promise<Group | null> {
  const query = { cause, limit: 1 };
  const left = await body(api.GET("/api/v1/executions", { params: { query }, signal }));
  if (left.items.length === 0) return null;
  return body(api.GET("/api/v1/dead-letters/{cause}", { params: { path: { cause } }, signal }));
}

/** The dead letters of one cause. */
export function Cause() {
  const { params } = useRoute();
  const cause = params.cause ?? "";
  return <OneCause key={cause} cause={cause} />;
}

function OneCause({ cause }: { cause: string }) {
  const [operation, setOperation] = useState<Operation | null>(null);
  const group = useResource(
    (signal) => loadGroup(cause, signal),
    [cause],
    (event) => event.kind === "execution.ended" || event.data.reason === "reopened",
  );
  const found = useExecutions({ cause }, () => false);
  const { list } = found;
  const parent = { title: texts.pages.deadLetters, href: "/dead-letters" };
  const close = () => {
    setOperation(null);
    group.reload();
    found.reload();
  };
  const gone = group.value === null;
  return (
    <Page
      title={group.value?.error.code ?? words.one}
      parent={parent}
      beside={group.value && <Badge tone="bad">{words.letters(group.value.count)}</Badge>}
      lead={
        group.value && (
          <>
            {words.in}{" "}
            <a class="foreign" href={`/flows/${encodeURIComponent(group.value.flow_id)}`}>
              {group.value.flow_id}
            </a>
          </>
        )
      }
      actions={
        !gone && (
          <>
            <Button kind="primary" scope="operate" onClick={() => setOperation("retry")}>
              {words.retryAll}
            </Button>
            <Button scope="operate" onClick={() => setOperation("replay")}>
              {words.replayAll}
            </Button>
            <Button kind="danger" scope="operate" onClick={() => setOperation("discard")}>
              {words.discardAll}
            </Button>
          </>
        )
      }
    >
      {gone ? (
        <div class="card">
          <Empty title={words.goneTitle}>
            <a href="/dead-letters">{words.goneDetail}</a>
          </Empty>
        </div>
      ) : (
        <>
          <Loaded resource={group} lines={3}>
            {(one) =>
              one && (
                <Section title={words.cause}>
                  <p class="letters-example">
                    <Text lines>{one.example}</Text>
                  </p>
                  <Facts
                    facts={[
                      [words.step, one.error.step ?? "–"],
                      [words.first, <Time key="first" at={one.first_at} />],
                      [words.last, <Time key="last" at={one.last_at} />],
                      [words.retryable, one.error.retryable ? words.yes : words.no],
                    ]}
                  />
                </Section>
              )
            }
          </Loaded>
          {found.error !== undefined && <Failed error={found.error} retry={found.retry} />}
          {list && (
            <div class="card">
              <VirtualTable
                label={texts.pages.executions}
                columns={COLUMNS.filter((column) => column.key !== "flow" && column.key !== "state")}
                rows={list.rows}
                keyOf={(row) => row.id}
                linkOf={(row) => `/executions/${row.id}`}
                more={found.more}
              />
            </div>
          )}
        </>
      )}
      {operation && (
        <BulkDialog
          operation={operation}
          target={{ filter: { cause }, ...(group.value ? { total: group.value.count } : {}) }}
          onClose={close}
        />
      )}
    </Page>
  );
}
