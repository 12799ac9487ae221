import "./settings.css";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { FilterBar, TextFilter, useFilters } from "../ui/Filters";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { Prose } from "../ui/Prose";
import { type Column, Table } from "../ui/Table";

const said = texts.settings;

type Setting = Schemas["ServerSettingView"];

/** The settings of the node that answers, each with its source. They are changed where they come from. */
export function Settings() {
  const filters = useFilters(["search"]);
  const settings = useResource((signal) => body(api.GET("/api/v1/settings", { signal })), []);
  const text = (filters.values.search ?? "").toLowerCase();
  return (
    <Page title={texts.pages.settings} lead={said.lead}>
      <FilterBar filters={filters}>
        <TextFilter filters={filters} name="search" label={said.search} />
      </FilterBar>
      <div class="card">
        <Loaded resource={settings} lines={14}>
          {({ items }) => {
            const found = items.filter(({ name, description }) =>
              `${name} ${description}`.toLowerCase().includes(text),
            );
            return found.length === 0 ? (
              <Empty title={said.none} />
            ) : (
              <Table
                label={texts.pages.settings}
                columns={COLUMNS}
                rows={found}
                keyOf={(setting) => setting.name}
              />
            );
          }}
        </Loaded>
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Setting>[] = [
  {
    key: "name",
    title: said.name,
    width: "12rem",
    cell: (setting) => (
      <>
        <strong class="mono" title={setting.variable}>
          {setting.name}
        </strong>
        <div class="settings-source">
          <Source setting={setting} />
        </div>
      </>
    ),
  },
  {
    key: "value",
    title: said.value,
    width: "15rem",
    cell: (setting) => <code class="foreign">{shown(setting.value)}</code>,
  },
  {
    key: "source",
    title: said.source,
    width: "10rem",
    from: "medium",
    cell: (setting) => <Source setting={setting} />,
  },
  {
    key: "description",
    title: said.description,
    from: "medium",
    cell: (setting) => <Prose text={setting.description} />,
  },
];

function Source({ setting }: { setting: Setting }) {
  return setting.source ? (
    <Badge tone="info">{setting.source.replace("the ", "")}</Badge>
  ) : (
    <span class="muted">{said.default}</span>
  );
}

function shown(value: unknown): string {
  if (value === null) return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}
