import "./plugins.css";
import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Loaded } from "../ui/Notices";
import { Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";

const said = texts.plugins;

type Plugin = Schemas["PluginView"];
type Examination = Schemas["Examination"];

/** The installed plugins: whether each works, and what to do if one doesn't. */
export function Plugins() {
  const plugins = useResource((signal) => body(api.GET("/api/v1/plugins", { signal })), []);
  const [examined, setExamined] = useState<Examination[]>();
  const examine = async () => setExamined((await body(api.GET("/api/v1/plugins/doctor"))).items);
  return (
    <Page
      title={texts.pages.plugins}
      lead={said.lead}
      actions={<Button onClick={examine}>{said.doctor}</Button>}
    >
      {examined && <Doctor examined={examined} />}
      <div class="card">
        <Loaded resource={plugins} lines={10}>
          {({ items }) => (
            <Table
              label={texts.pages.plugins}
              columns={COLUMNS}
              rows={ordered(items)}
              keyOf={(plugin) => plugin.name}
            />
          )}
        </Loaded>
      </div>
    </Page>
  );
}

/** Those that don't work come first. */
function ordered(plugins: readonly Plugin[]): Plugin[] {
  const rank = (plugin: Plugin) => (plugin.error ? 0 : plugin.warning ? 1 : 2);
  return plugins.toSorted((a, b) => rank(a) - rank(b));
}

const COLUMNS: readonly Column<Plugin>[] = [
  { key: "name", title: said.name, width: "10rem", cell: (plugin) => <strong>{plugin.name}</strong> },
  {
    key: "state",
    title: said.state,
    cell: (plugin) => (
      <div class="plugin-state">
        <Badge tone={plugin.error ? "bad" : plugin.warning ? "warn" : "ok"}>
          {plugin.error ? said.failed : plugin.warning ? said.incomplete : said.works}
        </Badge>
        {(plugin.error ?? plugin.warning) && (
          <p class="plugin-why foreign">{plugin.error ?? plugin.warning}</p>
        )}
      </div>
    ),
  },
  {
    key: "connectors",
    title: said.connectors,
    from: "medium",
    cell: (plugin) =>
      plugin.connectors.map((one) => `${one.title} (${one.quality ?? said.belowBronze})`).join(", "),
  },
  {
    key: "from",
    title: said.distribution,
    width: "14rem",
    from: "wide",
    cell: (plugin) => `${plugin.distribution ?? plugin.module} ${plugin.version ?? ""}`,
  },
];

function Doctor({ examined }: { examined: readonly Examination[] }) {
  const findings = examined.flatMap((one) => one.findings.map((finding) => ({ plugin: one.name, finding })));
  return (
    <Section title={said.findings} beside={<span class="muted">{said.examined(examined.length)}</span>}>
      {findings.length === 0 ? (
        <p class="plugin-well">
          <Badge tone="ok">{said.works}</Badge> {said.noFindings}
        </p>
      ) : (
        <ul class="plugin-findings">
          {findings.map(({ plugin, finding }) => (
            <li key={`${plugin} ${finding.code} ${finding.message}`}>
              <Badge tone={finding.severity === "error" ? "bad" : "warn"}>{plugin}</Badge>
              <div class="foreign">
                <p>{finding.message}</p>
                {finding.remedy && <p class="muted">{finding.remedy}</p>}
              </div>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
