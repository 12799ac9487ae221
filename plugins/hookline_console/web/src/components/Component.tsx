import "./components.css";
import { useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { hostsOfType } from "../credentials/limits";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Copy } from "../ui/Copy";
import { JsonTree } from "../ui/JsonTree";
import { Empty, Loaded } from "../ui/Notices";
import { Facts, Page, Section } from "../ui/Page";
import { Prose } from "../ui/Prose";
import { type Column, Table } from "../ui/Table";
import { exampleOf } from "./example";

const said = texts.components;

type Component = Schemas["ComponentView"];
type Setting = Schemas["SettingView"];

/** One component: what it does, its settings, an example, and its JSON Schema. */
export function Component() {
  const { kind = "", name = "" } = useRoute().params;
  const components = useResource((signal) => body(api.GET("/api/v1/components", { signal })), []);
  const found = components.value?.items.find((one) => one.kind === kind && one.name === name);
  return (
    <Page
      title={name}
      parent={{ title: texts.pages.components, href: "/components" }}
      beside={found && <Badge tone="idle">{said.kinds[found.kind]}</Badge>}
      lead={found?.title}
    >
      <Loaded resource={components}>
        {() => (found ? <Details component={found} /> : <Empty title={texts.problems.notFound.title} />)}
      </Loaded>
    </Page>
  );
}

function Details({ component }: { component: Component }) {
  const example = exampleOf(component);
  const json = JSON.stringify(example, null, 2);
  // The title is the page's lead already.
  const titled = component.description.startsWith(component.title);
  return (
    <>
      {component.unavailable && (
        <p class="card note">
          <Badge tone="warn">{said.unavailable}</Badge> {component.unavailable}
        </p>
      )}
      <section class="card" aria-label={said.about}>
        <Paragraphs text={component.description.slice(titled ? component.title.length : 0).trim()} />
        <Facts facts={factsOf(component)} />
      </section>
      <Section title={said.settings}>
        {component.settings.length === 0 ? (
          <Empty title={said.noSettings} />
        ) : (
          <Table
            label={said.settings}
            columns={SETTINGS}
            rows={component.settings}
            keyOf={(setting) => setting.name}
          />
        )}
      </Section>
      {example !== undefined && (
        <Section title={said.example} actions={<Copy text={json} />}>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must get the focus */}
          <pre class="component-example" tabIndex={0}>
            {json}
          </pre>
        </Section>
      )}
      {component.kind !== "mapper" && <SchemaSection kind={component.kind} name={component.name} />}
    </>
  );
}

function Paragraphs({ text }: { text: string }) {
  if (text === "") return null;
  return (
    <div class="component-text">
      {text.split(/\n\s*\n/).map((paragraph) => (
        <p key={paragraph}>
          <Prose text={paragraph} />
        </p>
      ))}
    </div>
  );
}

function factsOf(component: Component) {
  const facts: [string, string][] = [[said.plugin, component.plugin]];
  if (component.output) facts.push([said.output, component.output]);
  if (component.idempotent) facts.push([said.idempotent, said.idempotence[component.idempotent]]);
  if (component.rate) facts.push([said.rate, component.rate]);
  if (component.quality) facts.push([said.quality, component.quality]);
  if (component.credential_types.length > 0)
    facts.push([said.credential, component.credential_types.join(", ")]);
  if (component.kind === "credential type") facts.push([said.hosts, hostsOfType(component.hosts)]);
  return facts;
}

const SETTINGS: readonly Column<Setting>[] = [
  {
    key: "name",
    title: said.name,
    width: "14rem",
    cell: (setting) => (
      <>
        <span class="mono">{setting.name}</span>{" "}
        {setting.required && <span class="component-required">{said.required}</span>}
      </>
    ),
  },
  { key: "type", title: said.type, width: "14rem", cell: (setting) => setting.type },
  {
    key: "default",
    title: said.default,
    width: "10rem",
    from: "wide",
    cell: (setting) =>
      setting.default !== null && <code class="foreign">{JSON.stringify(setting.default)}</code>,
  },
  {
    key: "description",
    title: said.description,
    from: "medium",
    cell: (setting) => <Prose text={setting.description} />,
  },
];

type SchemaKind = Exclude<Component["kind"], "mapper">;

/** The JSON Schema, which is loaded when it is opened. */
function SchemaSection({ kind, name }: { kind: SchemaKind; name: string }) {
  const schema = useResource(
    (signal) =>
      body(
        api.GET("/api/v1/components/{component}/schema", {
          params: { path: { component: name }, query: { kind } },
          signal,
        }),
      ),
    [kind, name],
  );
  return (
    <details class="card component-schema">
      <summary>{said.schema}</summary>
      <Loaded resource={schema}>{(value) => <JsonTree label={said.schema} value={value} />}</Loaded>
    </details>
  );
}
