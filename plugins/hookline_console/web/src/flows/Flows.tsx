import "./flow.css";
import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge, StateBadge } from "../ui/Badge";
import { FilterBar, SelectFilter, TextFilter, useFilters } from "../ui/Filters";
import { short } from "../ui/format";
import { Menu } from "../ui/Menu";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import type { Column } from "../ui/Table";
import { Time } from "../ui/Time";
import { VirtualTable } from "../ui/VirtualTable";
import { ConfirmStop, changeState, furtherItems, toggleItem } from "./FlowActions";

const words = texts.flows.list;
const STATES = ["active", "paused", "stopped", "broken"] as const;

type FlowView = Schemas["FlowView"];

/** The flows of the server. */
export function Flows() {
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const filters = useFilters(["name", "state"]);
  const [stopping, setStopping] = useState<FlowView | null>(null);
  const act = async (flow: FlowView, action: Parameters<typeof changeState>[1]) => {
    await changeState(flow.id, action);
    flows.reload();
  };
  const itemsOf = (flow: FlowView) => {
    const change = (action: Parameters<typeof changeState>[1]) => act(flow, action);
    return [toggleItem(flow, change), ...furtherItems(flow, change, () => setStopping(flow))];
  };
  const columns: readonly Column<FlowView>[] = [
    ...COLUMNS,
    {
      key: "actions",
      title: words.columns.actions,
      width: "4rem",
      align: "right",
      cell: (flow) =>
        flow.state !== "broken" && (
          <Menu label={`${texts.flows.actions.label}: ${flow.id}`} items={itemsOf(flow)}>
            ⋯
          </Menu>
        ),
    },
  ];
  return (
    <Page title={texts.pages.flows} lead={words.lead}>
      <FilterBar filters={filters}>
        <TextFilter filters={filters} name="name" label={words.search} />
        <SelectFilter
          filters={filters}
          name="state"
          label={words.state}
          options={STATES.map((value) => ({ value, label: texts.states[value] }))}
        />
      </FilterBar>
      <section class="card flow-list" aria-label={words.label}>
        <Loaded resource={flows}>
          {({ items }) => {
            const rows = items.filter((flow) => matches(flow, filters.values));
            const empty = items.length === 0 ? words.none : words.matchesNone;
            return rows.length > 0 ? (
              <VirtualTable
                label={words.count(rows.length)}
                columns={columns}
                rows={rows}
                keyOf={(flow) => flow.id}
                linkOf={(flow) => `/flows/${encodeURIComponent(flow.id)}`}
              />
            ) : (
              <Empty title={empty.title}>
                <p>{empty.detail}</p>
              </Empty>
            );
          }}
        </Loaded>
      </section>
      {stopping && (
        <ConfirmStop
          flow={stopping}
          onConfirm={() => act(stopping, "stop")}
          onClose={() => setStopping(null)}
        />
      )}
    </Page>
  );
}

const COLUMNS: readonly Column<FlowView>[] = [
  {
    key: "flow",
    title: words.columns.flow,
    width: "minmax(0, 2.4fr)",
    cell: (flow) => (
      <span class="flow-name" title={flow.title || flow.id}>
        <span class="flow-id truncate foreign">{flow.id}</span>
        {flow.title && <span class="flow-title from-medium truncate foreign">{flow.title}</span>}
      </span>
    ),
  },
  {
    key: "state",
    title: words.columns.state,
    width: "6.5rem",
    cell: (flow) => (
      <span title={flow.override ? words.overridden : undefined}>
        <StateBadge state={flow.state} />
      </span>
    ),
  },
  {
    key: "trigger",
    title: words.columns.trigger,
    width: "minmax(0, 0.8fr)",
    from: "medium",
    cell: (flow) => <span class="foreign">{flow.trigger ?? "–"}</span>,
  },
  {
    key: "source",
    title: words.columns.source,
    width: "minmax(0, 0.9fr)",
    from: "wide",
    cell: (flow) => <Source source={flow.source} />,
  },
  {
    key: "problems",
    title: words.columns.problems,
    width: "7rem",
    from: "medium",
    cell: (flow) => <ProblemCount problems={flow.problems} />,
  },
  {
    key: "version",
    title: words.columns.version,
    width: "5.5rem",
    from: "wide",
    cell: (flow) => (flow.version ? <code title={flow.version}>{short(flow.version)}</code> : "–"),
  },
];

function Source({ source }: { source: FlowView["source"] }) {
  if (source === null) return <span class="muted">–</span>;
  if (source.error)
    return (
      <span title={source.error}>
        <Badge tone="bad">{words.failing}</Badge>
      </span>
    );
  if (source.listening) return <Badge tone="ok">{words.listening}</Badge>;
  return (
    <span class="muted">
      {words.next} <Time at={source.next_at} relative />
    </span>
  );
}

function ProblemCount({ problems }: { problems: FlowView["problems"] }) {
  const warnings = problems.filter((problem) => problem.severity === "warning").length;
  const errors = problems.length - warnings;
  if (errors > 0) return <Badge tone="bad">{words.errors(errors)}</Badge>;
  if (warnings > 0) return <Badge tone="warn">{words.warnings(warnings)}</Badge>;
  return <span class="muted">–</span>;
}

function matches(flow: FlowView, wanted: Readonly<Record<string, string>>): boolean {
  const name = (wanted.name ?? "").toLowerCase();
  if (wanted.state && flow.state !== wanted.state) return false;
  return flow.id.includes(name) || flow.title.toLowerCase().includes(name);
}
