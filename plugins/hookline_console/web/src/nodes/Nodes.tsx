import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge, type Tone } from "../ui/Badge";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";
import { useRefresh } from "../ui/useRefresh";

const said = texts.nodes;

type Node = Schemas["NodeView"];

const TONES: Record<Node["state"], Tone> = { live: "ok", draining: "warn", silent: "bad", gone: "idle" };
const REFRESH_MS = 5000;

/** The nodes that serve the database, and those that did in the last hour. */
export function Nodes() {
  const nodes = useResource((signal) => body(api.GET("/api/v1/nodes", { signal })), []);
  const [draining, setDraining] = useState<Node>();
  useRefresh(nodes.reload, REFRESH_MS);
  const drain = async (node: Node) => {
    await api.POST("/api/v1/nodes/{node_id}/drain", { params: { path: { node_id: node.id } } });
    showToast(said.drained(node.name));
    nodes.reload();
  };
  return (
    <Page title={texts.pages.nodes} lead={said.lead}>
      <div class="card">
        <Loaded resource={nodes}>
          {({ items }) => (
            <Table
              label={texts.pages.nodes}
              columns={columns(setDraining)}
              rows={items}
              keyOf={(node) => node.id}
            />
          )}
        </Loaded>
      </div>
      {draining && (
        <ActionDialog
          title={said.drainTitle(draining.name)}
          action={said.drain}
          kind="danger"
          onAction={() => drain(draining)}
          onClose={() => setDraining(undefined)}
        >
          <p>{said.drainDetail}</p>
        </ActionDialog>
      )}
    </Page>
  );
}

const columns = (drain: (node: Node) => void): readonly Column<Node>[] => [
  { key: "name", title: said.name, cell: (node) => <strong>{node.name}</strong> },
  {
    key: "state",
    title: said.state,
    width: "12rem",
    cell: (node) => (
      <div class="cluster">
        <Badge tone={TONES[node.state]}>{said.states[node.state]}</Badge>
        {node.pending && <Badge tone="warn">{said.behind}</Badge>}
      </div>
    ),
  },
  { key: "role", title: said.role, width: "7rem", from: "medium", cell: (node) => node.role },
  { key: "version", title: said.version, width: "7rem", from: "medium", cell: (node) => node.version },
  {
    key: "started",
    title: said.started,
    width: "10rem",
    cell: (node) => <Time at={node.started_at} relative />,
  },
  { key: "until", title: said.lease, width: "9rem", from: "wide", cell: (node) => <Time at={node.until} /> },
  {
    key: "clock",
    title: said.clock,
    width: "7rem",
    align: "right",
    from: "wide",
    cell: (node) => `${node.clock_ahead.toFixed(3)} s`,
  },
  {
    key: "drain",
    title: texts.common.actions,
    width: "6rem",
    align: "right",
    cell: (node) =>
      node.state === "live" && (
        <Button small kind="danger" scope="admin" onClick={() => drain(node)}>
          {said.drain}
        </Button>
      ),
  },
];
