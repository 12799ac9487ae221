import "./components.css";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { FilterBar, SelectFilter, TextFilter, useFilters } from "../ui/Filters";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import type { Column } from "../ui/Table";
import { VirtualTable } from "../ui/VirtualTable";
import { matching } from "./search";

const said = texts.components;

type Component = Schemas["ComponentView"];

const KINDS = ["action", "block", "trigger", "scheme", "mapper", "credential type"] as const;

/** The catalogue of everything that a flow can use. */
export function Components() {
  const filters = useFilters(["search", "kind"]);
  const components = useResource((signal) => body(api.GET("/api/v1/components", { signal })), []);
  return (
    <Page title={texts.pages.components} lead={said.lead}>
      <FilterBar filters={filters}>
        <TextFilter filters={filters} name="search" label={said.search} />
        <SelectFilter
          filters={filters}
          name="kind"
          label={said.allKinds}
          options={KINDS.map((kind) => ({ value: kind, label: said.kinds[kind] }))}
        />
      </FilterBar>
      <div class="card">
        <Loaded resource={components} lines={12}>
          {({ items }) => {
            const found = matching(items, filters.values.search ?? "", filters.values.kind ?? "");
            return found.length === 0 ? (
              <Empty title={said.none}>{said.noneDetail}</Empty>
            ) : (
              <VirtualTable
                label={texts.pages.components}
                columns={COLUMNS}
                rows={found}
                keyOf={pathOf}
                linkOf={pathOf}
              />
            );
          }}
        </Loaded>
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Component>[] = [
  {
    key: "name",
    title: said.name,
    width: "minmax(10rem, 1fr)",
    cell: (one) => <span class="mono">{one.name}</span>,
  },
  { key: "title", title: said.title, width: "minmax(0, 2.2fr)", cell: (one) => one.title, from: "medium" },
  { key: "kind", title: said.kind, width: "8.5rem", cell: (one) => said.kinds[one.kind] },
  {
    key: "quality",
    title: said.quality,
    width: "7rem",
    from: "wide",
    cell: (one) => (one.unavailable ? <Badge tone="warn">{said.unavailable}</Badge> : (one.quality ?? "")),
  },
];

function pathOf(component: Component): string {
  return `/components/${encodeURIComponent(component.kind)}/${encodeURIComponent(component.name)}`;
}
