import "./executions.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { FilterBar, type Filters, SelectFilter, TextFilter, useFilters } from "../ui/Filters";
import { formatNumber } from "../ui/format";
import { Empty, Failed, Loading } from "../ui/Notices";
import { Page } from "../ui/Page";
import { VirtualTable } from "../ui/VirtualTable";
import { BulkDialog, type Target } from "./BulkDialog";
import type { Operation } from "./bulk";
import { COLUMNS, selectColumn } from "./columns";
import { contentOf, FILTERS, listQuery, PERIODS } from "./query";
import { SavedSearches } from "./SavedSearches";
import { useExecutions } from "./useExecutions";

/** Scrolled down by more than this, a viewer looks at older executions, which must not move. */
const AT_TOP_PX = 40;

/** The list of executions: filters in the URL, live, with operations on many. */
export function Executions() {
  const words = texts.executions.list;
  const filters = useFilters(FILTERS);
  const anchor = useRef<HTMLDivElement>(null);
  const scroller = () => anchor.current?.closest<HTMLElement>("[data-scroller]");
  const found = useExecutions(filters.values, () => (scroller()?.scrollTop ?? 0) > AT_TOP_PX);
  const { list } = found;
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  // An operation never includes executions that other filters have shown.
  useEffect(() => setSelected(new Set()), [JSON.stringify(filters.values)]);
  const [bulk, setBulk] = useState<{ operation: Operation; target: Target } | null>(null);
  const toggle = (id: string) => {
    const changed = new Set(selected);
    if (!changed.delete(id)) changed.add(id);
    setSelected(changed);
  };
  const fresh = list?.fresh.length ?? 0;
  const toTop = () => {
    if (list?.behind) found.reload();
    else found.showFresh();
    scroller()?.scrollTo({ top: 0 });
  };
  return (
    <Page title={texts.pages.executions} actions={<SavedSearches />}>
      <div ref={anchor} class="stack executions">
        <ListFilters filters={filters} />
        <BulkBar
          selected={selected}
          filters={filters}
          onStart={(operation, target) => setBulk({ operation, target })}
          onClear={() => setSelected(new Set())}
        />
        {found.scanned !== null && list && (
          <p class="cluster muted" role="status">
            {words.scanned(formatNumber(found.scanned), found.loading)}
            {found.more && !found.loading && (
              <Button small onClick={found.more}>
                {words.searchOn}
              </Button>
            )}
          </p>
        )}
        {found.error !== undefined && <Failed error={found.error} retry={found.retry} />}
        {list === undefined ? (
          found.error === undefined && <Loading lines={12} />
        ) : list.rows.length === 0 ? (
          <div class="card">
            {found.scanned !== null && found.more ? (
              <Empty title={words.noneYet}>{words.noneYetDetail}</Empty>
            ) : Object.keys(filters.values).length > 0 ? (
              <Empty title={words.noneFit}>{words.noneFitDetail}</Empty>
            ) : (
              <Empty title={words.none}>{words.noneDetail}</Empty>
            )}
          </div>
        ) : (
          <div class="card">
            <VirtualTable
              label={texts.pages.executions}
              columns={[selectColumn(selected, toggle), ...COLUMNS]}
              rows={list.rows}
              keyOf={(row) => row.id}
              linkOf={(row) => `/executions/${row.id}`}
              more={found.scanned === null ? found.more : undefined}
            />
          </div>
        )}
        {(fresh > 0 || list?.behind) && (
          <button type="button" class="button button-primary executions-fresh" onClick={toTop}>
            {list?.behind ? words.manyNew : words.new(fresh)}
          </button>
        )}
      </div>
      {bulk && (
        <BulkDialog
          {...bulk}
          onClose={() => {
            setBulk(null);
            setSelected(new Set());
            found.reload();
          }}
        />
      )}
    </Page>
  );
}

function ListFilters({ filters }: { filters: Filters }) {
  const words = texts.executions.list;
  const flows = useResource((signal) => body(api.GET("/api/v1/flows", { signal })), []);
  const rare = ["error_code", "order_key", "tag", "until", "cause", "replay_of", "jsonpath"];
  const [open, setOpen] = useState(() => rare.some((name) => filters.values[name]));
  const named = (names: Readonly<Record<string, string>>) =>
    Object.entries(names).map(([value, label]) => ({ value, label }));
  const since = filters.values.since ?? "";
  const periods = named(words.periods);
  if (since !== "" && !PERIODS.some((period) => period === since))
    periods.push({ value: since, label: words.since(since) });
  return (
    <FilterBar filters={filters}>
      <TextFilter filters={filters} name="text" label={words.text} />
      <SelectFilter
        filters={filters}
        name="flow_id"
        label={words.allFlows}
        options={(flows.value?.items ?? []).map((flow) => ({ value: flow.id, label: flow.id }))}
      />
      <SelectFilter
        filters={filters}
        name="state"
        label={words.allStates}
        options={["queued", "running", "waiting", "succeeded", "failed", "cancelled"].map((value) => ({
          value,
          label: texts.states[value as keyof typeof texts.states],
        }))}
      />
      <SelectFilter
        filters={filters}
        name="outcome"
        label={words.allOutcomes}
        options={named(words.outcomes)}
      />
      <SelectFilter filters={filters} name="since" label={words.anyTime} options={periods} />
      <button type="button" class="button button-quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
        {words.moreFilters}
      </button>
      {open && (
        <div class="filters executions-more">
          <TextFilter filters={filters} name="error_code" label={words.errorCode} />
          <TextFilter filters={filters} name="order_key" label={words.orderKey} />
          <TextFilter filters={filters} name="tag" label={words.tag} />
          <TextFilter filters={filters} name="jsonpath" label={words.jsonpath} />
          <TextFilter filters={filters} name="cause" label={words.cause} />
          <MomentFilter filters={filters} name="since" label={words.from} />
          <MomentFilter filters={filters} name="until" label={words.until} />
        </div>
      )}
    </FilterBar>
  );
}

/** A time of the viewer's time zone. */
function MomentFilter({ filters, name, label }: { filters: Filters; name: string; label: string }) {
  const at = new Date(filters.values[name] ?? "");
  const local = Number.isNaN(at.getTime())
    ? ""
    : new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  return (
    <label class="executions-moment">
      {label}
      <input
        class="input"
        type="datetime-local"
        value={local}
        onChange={(event) => {
          const chosen = new Date(event.currentTarget.value);
          filters.set(name, Number.isNaN(chosen.getTime()) ? "" : chosen.toISOString());
        }}
      />
    </label>
  );
}

interface BulkBarProps {
  selected: ReadonlySet<string>;
  filters: Filters;
  onStart: (operation: Operation, target: Target) => void;
  onClear: () => void;
}

/** The operations on the selected executions, or on all that the filters select. */
function BulkBar({ selected, filters, onStart, onClear }: BulkBarProps) {
  const words = texts.executions.bulk;
  const filtered = Object.keys(filters.values).length > 0;
  // The API's operations on many take the filters of the list, and none on contents.
  if (selected.size === 0 && (!filtered || contentOf(filters.values) !== null)) return null;
  const target = (): Target =>
    selected.size > 0 ? { ids: [...selected] } : { filter: listQuery(filters.values, new Date()) };
  return (
    <div class="cluster bulk-bar">
      <span class="muted">
        {selected.size > 0 ? words.selected(formatNumber(selected.size)) : words.allThatFit}
      </span>
      {(["retry", "replay", "cancel", "discard"] as const).map((operation) => (
        <Button
          key={operation}
          small
          scope="operate"
          kind={operation === "cancel" || operation === "discard" ? "danger" : "plain"}
          onClick={() => onStart(operation, target())}
        >
          {words.action[operation]}…
        </Button>
      ))}
      {selected.size > 0 && (
        <Button small kind="quiet" onClick={onClear}>
          {words.clear}
        </Button>
      )}
    </div>
  );
}
