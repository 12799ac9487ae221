import "./flow.css";
import { useMemo, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge, StateBadge } from "../ui/Badge";
import { FilterBar, SelectFilter, TextFilter, useFilters } from "../ui/Filters";
import { formatCompact } from "../ui/format";
import { Menu } from "../ui/Menu";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { Sparkline } from "../ui/Sparkline";
import type { Column } from "../ui/Table";
import { Time } from "../ui/Time";
import { useRefresh } from "../ui/useRefresh";
import { VirtualTable } from "../ui/VirtualTable";
import { ConfirmStop, changeState, furtherItems, toggleItem } from "./FlowActions";
import { NewDrafts } from "./NewDrafts";
import { type DraftOfFlow, useDrafts } from "./useDrafts";

const words = texts.flows.list;
const STATES = ["active", "paused", "stopped", "broken"] as const;

type FlowView = Schemas["FlowView"];
type Activity = Schemas["FlowStatistics"];

const DAY_MS = 86_400_000;
const REFRESH_MS = 60_000;

/** The flows of the server. */
export function Flows() {
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const activity = useActivity();
  const drafts = useDrafts();
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
    {
      key: "flow",
      title: words.columns.flow,
      width: "minmax(0, 3fr)",
      cell: (flow) => <FlowName flow={flow} draft={drafts.get(flow.id)} />,
    },
    ...COLUMNS,
    {
      key: "activity",
      title: words.columns.activity,
      width: "9rem",
      from: "medium",
      cell: (flow) => activity && <FlowActivity activity={activity.get(flow.id)} />,
    },
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
    <Page
      title={texts.pages.flows}
      lead={words.lead}
      actions={
        <a class="button button-primary" href="/flows/new">
          {texts.begin.title}
        </a>
      }
    >
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
      {flows.value && <NewDrafts drafts={drafts} flows={flows.value.items} />}
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

/** The numbers of the last 24 hours of each flow; undefined until they are there. */
function useActivity(): ReadonlyMap<string, Activity> | undefined {
  const found = useResource((signal) => {
    const query = { step: "1h", since: new Date(Date.now() - DAY_MS).toISOString() } as const;
    return body(api.GET("/api/v1/stats/flows", { params: { query }, signal }));
  }, []);
  useRefresh(found.reload, REFRESH_MS);
  return useMemo(
    () => found.value && new Map(found.value.items.map((item) => [item.flow_id, item])),
    [found.value],
  );
}

function FlowActivity({ activity }: { activity: Activity | undefined }) {
  if (activity === undefined) return <span class="muted">–</span>;
  const bad = activity.failed.map((count, hour) => count + (activity.rejected[hour] ?? 0));
  const good = activity.accepted.map((count, hour) => Math.max(0, count - (activity.failed[hour] ?? 0)));
  const accepted = sum(activity.accepted);
  const failed = sum(bad);
  const label = words.activity(accepted, failed);
  return (
    <span class="flow-activity" title={label}>
      <Sparkline label={label} good={good} bad={bad} />
      <span aria-hidden>{formatCompact(accepted)}</span>
    </span>
  );
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function FlowName({ flow, draft }: { flow: FlowView; draft: DraftOfFlow | undefined }) {
  return (
    <span class="flow-name" title={flow.title || flow.id}>
      <span class="flow-id truncate foreign">{flow.id}</span>
      {draft && (
        <span title={draft.updated_by ? words.drafts.by(draft.updated_by) : words.drafts.here}>
          <Badge tone="info">{words.drafts.badge}</Badge>
        </span>
      )}
      {flow.title && (
        <span class="flow-title from-medium truncate foreign">
          <Text>{flow.title}</Text>
        </span>
      )}
    </span>
  );
}

const COLUMNS: readonly Column<FlowView>[] = [
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
