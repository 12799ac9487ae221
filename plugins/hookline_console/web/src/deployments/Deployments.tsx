import { api, body, type Schemas } from "../api/client";
import { usePages } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import type { Column } from "../ui/Table";
import { Time } from "../ui/Time";
import { VirtualTable } from "../ui/VirtualTable";

const said = texts.deployments;

type Deployment = Schemas["DeploymentView"];

/** The deployments: who changed which flows, and when. */
export function Deployments() {
  const deployments = usePages(
    (cursor, signal) => body(api.GET("/api/v1/deployments", { params: { query: { cursor } }, signal })),
    [],
  );
  return (
    <Page title={texts.pages.deployments} lead={said.lead}>
      <div class="card">
        <Loaded resource={deployments}>
          {(rows) =>
            rows.length === 0 ? (
              <Empty title={said.none}>{said.noneDetail}</Empty>
            ) : (
              <VirtualTable
                label={texts.pages.deployments}
                columns={COLUMNS}
                rows={rows}
                keyOf={(one) => one.id}
                linkOf={(one) => `/deployments/${one.id}`}
                more={deployments.more}
              />
            )
          }
        </Loaded>
      </div>
    </Page>
  );
}

const COLUMNS: readonly Column<Deployment>[] = [
  { key: "at", title: said.at, width: "9rem", cell: (one) => <Time at={one.at} /> },
  { key: "author", title: said.author, width: "minmax(4rem, 1fr)", cell: (one) => one.author },
  {
    key: "message",
    title: said.message,
    from: "medium",
    cell: (one) => (
      <span class="foreign">
        {one.rollback_of && <Badge tone="warn">{said.rollback}</Badge>} {one.message}
      </span>
    ),
  },
  { key: "flows", title: said.flows, cell: (one) => said.changed(one.flows.map((flow) => flow.flow_id)) },
];
