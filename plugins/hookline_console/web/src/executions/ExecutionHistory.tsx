import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { shortId } from "../ui/format";
import { Section } from "../ui/Page";
import { Table } from "../ui/Table";
import { Time } from "../ui/Time";

/** What was done to an execution by hand, and its replays. Nothing is shown if there is neither. */
export function ExecutionHistory({ execution }: { execution: Schemas["ExecutionView"] }) {
  const words = texts.executions.history;
  const turn = [execution.id, execution.state, execution.attempt, execution.discarded_at];
  const audit = useResource(
    (signal) => body(api.GET("/api/v1/audit", { params: { query: { subject: execution.id } }, signal })),
    turn,
  );
  const replays = useResource(
    (signal) =>
      body(api.GET("/api/v1/executions", { params: { query: { replay_of: execution.id } }, signal })),
    turn,
  );
  const entries = audit.value?.items ?? [];
  const again = replays.value?.items ?? [];
  if (entries.length === 0 && again.length === 0) return null;
  return (
    <Section title={words.title}>
      {entries.length > 0 && (
        <Table
          label={words.title}
          columns={[
            { key: "at", title: words.at, width: "11rem", cell: (entry) => <Time at={entry.at} /> },
            {
              key: "what",
              title: words.what,
              cell: (entry) => words.operations[entry.operation] ?? entry.operation,
            },
            { key: "who", title: words.who, cell: (entry) => <span class="foreign">{entry.actor}</span> },
            {
              key: "detail",
              title: words.detail,
              cell: (entry) => <span class="foreign">{entry.detail ?? ""}</span>,
            },
          ]}
          rows={entries}
          keyOf={(entry) => entry.id}
        />
      )}
      {again.length > 0 && (
        <Table
          label={words.replays}
          columns={[
            { key: "id", title: words.replay, width: "11rem", cell: (one) => <code>{shortId(one.id)}</code> },
            { key: "state", title: words.state, cell: (one) => <StateBadge state={one.state} /> },
            { key: "at", title: words.at, cell: (one) => <Time at={one.created_at} /> },
          ]}
          rows={again}
          keyOf={(one) => one.id}
          linkOf={(one) => `/executions/${one.id}`}
        />
      )}
    </Section>
  );
}
