import { useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { short } from "../ui/format";
import { Loaded } from "../ui/Notices";
import { Facts, Page, Section } from "../ui/Page";
import { type Column, Table } from "../ui/Table";
import { Time } from "../ui/Time";
import { showToast } from "../ui/toasts";

const said = texts.deployments;

type DeployedFlow = Schemas["DeployedFlowView"];

/** One deployment: the flows that it changed, and a way back to it. */
export function Deployment() {
  const { id = "" } = useRoute().params;
  const { route } = useLocation();
  const [asking, setAsking] = useState(false);
  const deployment = useResource(
    (signal) =>
      body(
        api.GET("/api/v1/deployments/{deployment_id}", { params: { path: { deployment_id: id } }, signal }),
      ),
    [id],
  );
  const rollBack = async () => {
    const done = await body(
      api.POST("/api/v1/deployments/{deployment_id}/rollback", { params: { path: { deployment_id: id } } }),
    );
    showToast(done.deployment ? said.rolledBack : said.nothingToDo);
    if (done.deployment) route(`/deployments/${done.deployment.id}`);
  };
  return (
    <Page
      title={said.one}
      parent={{ title: texts.pages.deployments, href: "/deployments" }}
      beside={deployment.value?.rollback_of && <Badge tone="warn">{said.rollback}</Badge>}
      lead={deployment.value?.message}
      actions={
        <Button scope="author" onClick={() => setAsking(true)}>
          {said.rollBack}
        </Button>
      }
    >
      <Loaded resource={deployment}>
        {(value) => (
          <>
            <section class="card" aria-label={said.one}>
              <Facts
                facts={[
                  [said.at, <Time key="at" at={value.at} />],
                  [said.author, value.author],
                  [said.address, value.address ?? "–"],
                  [
                    said.rollbackOf,
                    value.rollback_of ? (
                      <a key="of" href={`/deployments/${value.rollback_of}`}>
                        {short(value.rollback_of)}
                      </a>
                    ) : (
                      "–"
                    ),
                  ],
                ]}
              />
            </section>
            <Section title={said.flows}>
              <Table
                label={said.flows}
                columns={COLUMNS}
                rows={value.flows}
                keyOf={(flow) => flow.flow_id}
                linkOf={(flow) => `/flows/${encodeURIComponent(flow.flow_id)}`}
              />
            </Section>
          </>
        )}
      </Loaded>
      {asking && (
        <ActionDialog
          title={said.rollBack}
          action={said.rollBack}
          onAction={rollBack}
          onClose={() => setAsking(false)}
        >
          <p>{said.rollBackDetail}</p>
        </ActionDialog>
      )}
    </Page>
  );
}

const COLUMNS: readonly Column<DeployedFlow>[] = [
  { key: "flow", title: said.flow, cell: (flow) => flow.flow_id },
  {
    key: "change",
    title: said.change,
    width: "9rem",
    cell: (flow) => {
      if (flow.version === null) return <Badge tone="bad">{said.deleted}</Badge>;
      return flow.before === null ? (
        <Badge tone="ok">{said.added}</Badge>
      ) : (
        <Badge tone="info">{said.updated}</Badge>
      );
    },
  },
  { key: "before", title: said.before, width: "9rem", cell: (flow) => <Version of={flow.before} /> },
  { key: "after", title: said.after, width: "9rem", cell: (flow) => <Version of={flow.version} /> },
];

function Version({ of }: { of: string | null }) {
  return of === null ? (
    <span class="muted">–</span>
  ) : (
    <span class="mono" title={of}>
      {short(of)}
    </span>
  );
}
