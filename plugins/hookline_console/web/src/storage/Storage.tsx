import "./storage.css";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { formatBytes, formatDuration, formatNumber } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Facts, Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";

const said = texts.storage;

type Storage = Schemas["StorageView"];
type FlowStorage = Schemas["FlowStorageView"];

/** How much the executions take, of what they may take, and when the oldest will be removed. */
export function Storage() {
  // To measure a long history takes seconds, and all but the table is there before.
  const totals = useResource(
    (signal) => body(api.GET("/api/v1/storage", { params: { query: { totals: true } }, signal })),
    [],
  );
  const storage = useResource((signal) => body(api.GET("/api/v1/storage", { signal })), []);
  return (
    <Page title={texts.pages.storage} lead={said.lead}>
      <Loaded resource={totals} lines={3}>
        {(value) => <Budget storage={value} />}
      </Loaded>
      <Section title={said.flows} beside={!storage.value && <span class="muted">{said.measuring}</span>}>
        <Loaded resource={storage}>
          {({ flows }) =>
            flows.length === 0 ? (
              <Empty title={said.none} />
            ) : (
              <Table
                label={said.flows}
                columns={COLUMNS}
                rows={flows.toSorted((a, b) => b.used - a.used)}
                keyOf={(flow) => flow.flow_id}
                linkOf={(flow) => `/flows/${encodeURIComponent(flow.flow_id)}`}
              />
            )
          }
        </Loaded>
      </Section>
    </Page>
  );
}

function Budget({ storage }: { storage: Storage }) {
  const budget = storage.budget;
  return (
    <section class="card" aria-label={said.budget}>
      {budget !== null && storage.used !== null && (
        <div class="budget">
          <div class="budget-text">
            <strong>{said.usedOf(formatBytes(storage.used), formatBytes(budget))}</strong>
            {storage.full && <Badge tone="bad">{said.full}</Badge>}
          </div>
          <meter
            aria-label={said.budget}
            min={0}
            max={budget}
            high={budget * 0.8}
            optimum={0}
            value={storage.used}
          />
          {storage.full && <p class="foreign">{storage.full}</p>}
        </div>
      )}
      <Facts
        facts={[
          [said.executions, formatNumber(storage.executions)],
          [said.database, formatBytes(storage.database)],
          [said.reusable, storage.reusable === null ? "–" : formatBytes(storage.reusable)],
          [said.files, formatBytes(storage.files)],
        ]}
      />
    </section>
  );
}

const COLUMNS: readonly Column<FlowStorage>[] = [
  { key: "flow", title: said.flow, cell: (flow) => flow.flow_id },
  { key: "used", title: said.used, width: "7rem", align: "right", cell: (flow) => formatBytes(flow.used) },
  {
    key: "dead",
    title: said.deadLetters,
    width: "8rem",
    align: "right",
    from: "medium",
    cell: (flow) => formatBytes(flow.dead_letters),
  },
  { key: "age", title: said.retention, width: "12rem", from: "medium", cell: (flow) => retentionOf(flow) },
  { key: "next", title: said.next, width: "10rem", from: "wide", cell: (flow) => <Time at={flow.next_at} /> },
  {
    key: "full",
    title: said.state,
    width: "6rem",
    cell: (flow) => flow.full && <Badge tone="bad">{said.full}</Badge>,
  },
];

function retentionOf(flow: FlowStorage): string {
  const age = formatDuration(flow.age);
  return flow.count === null ? age : said.retentionOf(age, formatNumber(flow.count));
}
