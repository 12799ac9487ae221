import "./overview.css";
import { useMemo } from "preact/hooks";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Chart } from "../ui/Chart";
import { SelectFilter, useFilters } from "../ui/Filters";
import { formatCompact, formatDuration } from "../ui/format";
import { Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { Attention } from "./Attention";
import { quantile, queryOf, RANGES, type Range, type Stats, seriesOf, totalOf } from "./stats";

const said = texts.overview;
/** The charts are loaded at most this often, however much happens. */
const REFRESH_MS = 10_000;

/** What needs attention, and how it went lately: for all flows or for one. */
export function Overview() {
  const filters = useFilters(["flow", "range"]);
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const range = RANGES.find((each) => each === filters.values.range) ?? "24h";
  return (
    <Page title={texts.pages.overview}>
      <Attention />
      <section class="stack" aria-label={said.figures}>
        <div class="overview-bar">
          <h2>{said.figures}</h2>
          <div class="filters">
            <SelectFilter
              filters={filters}
              name="flow"
              label={said.allFlows}
              options={(flows.value?.items ?? []).map((flow) => ({ value: flow.id, label: flow.id }))}
            />
            <select
              class="input"
              aria-label={said.range}
              value={range}
              onChange={(event) => filters.set("range", event.currentTarget.value)}
            >
              {RANGES.map((each) => (
                <option key={each} value={each}>
                  {said.ranges[each]}
                </option>
              ))}
            </select>
          </div>
        </div>
        <Figures flowId={filters.values.flow} range={range} />
      </section>
    </Page>
  );
}

/** The charts of a flow, or of all. */
export function Figures({ flowId, range }: { flowId: string | undefined; range: Range }) {
  const stats = useResource(
    (signal) =>
      body(
        api.GET("/api/v1/stats", {
          params: { query: { flow_id: flowId, ...queryOf(range, new Date()) } },
          signal,
        }),
      ),
    [flowId, range],
    (event) => event.kind === "execution.ended" && (!flowId || event.data.flow_id === flowId),
    REFRESH_MS,
  );
  return (
    <Loaded resource={stats} lines={9}>
      {(value) => <Charts stats={value} />}
    </Loaded>
  );
}

const count = formatCompact;

function Charts({ stats }: { stats: Stats }) {
  const { series, total } = useMemo(() => ({ series: seriesOf(stats), total: totalOf(stats) }), [stats]);
  const p95 = total && quantile(stats.bounds, total.latency, 0.95);
  const lines = useMemo(
    () => ({
      throughput: [
        { label: said.accepted, color: "--chart-info", values: series.accepted, area: true },
        { label: said.succeeded, color: "--chart-ok", values: series.succeeded },
      ],
      failures: [
        { label: said.failed, color: "--chart-bad", values: series.failed, bars: true },
        { label: said.rejected, color: "--chart-wait", values: series.rejected, bars: true },
      ],
      latency: [
        { label: said.p95, color: "--chart-wait", values: series.p95 },
        { label: said.p50, color: "--chart-info", values: series.p50 },
      ],
      queueAge: [{ label: said.longest, color: "--chart-wait", values: series.queueAge, area: true }],
    }),
    [series],
  );
  const failed = (total?.failed ?? 0) + (total?.rejected ?? 0);
  return (
    <div class="charts">
      <Chart
        title={said.throughput}
        headline={said.messages(total?.accepted ?? 0)}
        times={series.times}
        lines={lines.throughput}
        format={count}
      />
      <Chart
        title={said.failures}
        headline={said.failedOf(failed, (total?.accepted ?? 0) + (total?.rejected ?? 0))}
        times={series.times}
        lines={lines.failures}
        format={count}
      />
      <Chart
        title={said.latency}
        headline={typeof p95 === "number" ? said.p95Of(formatDuration(p95)) : "–"}
        times={series.times}
        lines={lines.latency}
        format={formatDuration}
      />
      <Chart
        title={said.queueAge}
        headline={total ? said.longestOf(formatDuration(total.queue_age)) : "–"}
        times={series.times}
        lines={lines.queueAge}
        format={formatDuration}
      />
    </div>
  );
}
