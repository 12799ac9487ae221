import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge, type Tone } from "../ui/Badge";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Menu } from "../ui/Menu";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { CredentialForm } from "./CredentialForm";
import { hostsOf } from "./limits";

const said = texts.credentials;

type Credential = Schemas["CredentialView"];

/** The credentials: their types, their states and limits, and the flows that use them. Their values are never shown. */
export function Credentials() {
  const { route, query } = useLocation();
  const credentials = useResource((signal) => body(api.GET("/api/v1/credentials", { signal })), []);
  // The editor of flows leads here if a credential is missing.
  const [creating, setCreating] = useState(query.create !== undefined);
  const [rotating, setRotating] = useState(false);
  const rotate = async () => {
    const done = await body(api.POST("/api/v1/credentials/rotate"));
    showToast(said.rotated(done.rotated, done.retired));
  };
  return (
    <Page
      title={texts.pages.credentials}
      lead={said.lead}
      actions={
        <>
          <Menu
            label={said.more}
            items={[{ label: said.rotateKeys, scope: "admin", onSelect: () => setRotating(true) }]}
          >
            {said.more}
          </Menu>
          <Button kind="primary" scope="admin" onClick={() => setCreating(true)}>
            {said.create}
          </Button>
        </>
      }
    >
      <div class="card">
        <Loaded resource={credentials}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title={said.none}>{said.noneDetail}</Empty>
            ) : (
              <Table
                label={texts.pages.credentials}
                columns={COLUMNS}
                rows={items}
                keyOf={(one) => one.name}
                linkOf={(one) => `/credentials/${encodeURIComponent(one.name)}`}
              />
            )
          }
        </Loaded>
      </div>
      {creating && (
        <CredentialForm
          name={query.create}
          onClose={() => setCreating(false)}
          onSaved={(name) => route(`/credentials/${encodeURIComponent(name)}`)}
        />
      )}
      {rotating && (
        <ActionDialog
          title={said.rotateKeys}
          action={said.rotate}
          onAction={rotate}
          onClose={() => setRotating(false)}
        >
          <p>{said.rotateDetail}</p>
        </ActionDialog>
      )}
    </Page>
  );
}

/** Whether a credential can be used, in a word and its tone. */
export function stateOf(credential: Credential): { tone: Tone; text: string } {
  if (credential.problem) return { tone: "bad", text: said.unusable };
  const state = credential.tokens?.state;
  if (state === "missing" || state === "lost") return { tone: "warn", text: said.tokenStates[state] };
  if (credential.warnings.length > 0) return { tone: "warn", text: said.readyWithWarnings };
  return { tone: "ok", text: state ? said.tokenStates[state] : said.ready };
}

const listed = (texts: readonly string[], none: string) =>
  texts.length === 0 ? <span class="muted">{none}</span> : texts.join(", ");

const COLUMNS: readonly Column<Credential>[] = [
  { key: "name", title: said.name, cell: (one) => one.name },
  { key: "type", title: said.type, width: "11rem", cell: (one) => <span class="mono">{one.type}</span> },
  {
    key: "state",
    title: said.state,
    width: "11rem",
    cell: (one) => <Badge tone={stateOf(one).tone}>{stateOf(one).text}</Badge>,
  },
  {
    key: "flows",
    title: said.limits.flows,
    from: "medium",
    cell: (one) => listed(one.flows, said.limits.allFlows),
  },
  {
    key: "hosts",
    title: said.limits.hosts,
    from: "wide",
    cell: (one) => listed(one.hosts, hostsOf(one)),
  },
  {
    key: "used_by",
    title: said.usedBy,
    from: "medium",
    cell: (one) => listed(one.used_by, said.unused),
  },
  {
    key: "updated",
    title: said.updated,
    width: "10rem",
    from: "medium",
    cell: (one) => <Time at={one.updated_at} />,
  },
];
