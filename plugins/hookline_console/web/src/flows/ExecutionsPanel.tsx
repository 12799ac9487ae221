import { api, body } from "../api/client";
import { usePages } from "../api/resource";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { shortId } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Duration, Time } from "../ui/Time";

const words = texts.flows.executions;
const AT_ONCE = 25;

interface ExecutionsPanelProps {
  flowId: string;
  /** The execution whose path is shown; empty for none. */
  chosen: string;
  onChoose: (id: string) => void;
}

/** The recent executions of a flow. Choosing one shows its path. */
export function ExecutionsPanel({ flowId, chosen, onChoose }: ExecutionsPanelProps) {
  const executions = usePages(
    (cursor, signal) => {
      const query = { flow_id: flowId, limit: AT_ONCE, ...(cursor && { cursor }) };
      return body(api.GET("/api/v1/executions", { params: { query }, signal }));
    },
    [flowId],
    (event) => event.data.flow_id === flowId && event.kind.startsWith("execution."),
  );
  return (
    <Loaded resource={executions}>
      {(rows) =>
        rows.length === 0 ? (
          <Empty title={words.none.title}>
            <p>{words.none.detail}</p>
          </Empty>
        ) : (
          <>
            <p class="panel-note">{words.hint}</p>
            <ul class="panel-list" aria-label={words.label}>
              {rows.map((row) => (
                <li key={row.id} class="execution-row">
                  <button
                    type="button"
                    class="execution-choice"
                    aria-pressed={row.id === chosen}
                    aria-label={`${words.show(shortId(row.id))}, ${row.state}`}
                    onClick={() => onChoose(row.id === chosen ? "" : row.id)}
                  >
                    <StateBadge state={row.state} />
                    <code>{shortId(row.id)}</code>
                    <span class="execution-when muted">
                      <Time at={row.created_at} relative />
                    </span>
                    <span class="muted">
                      <Duration from={row.started_at} until={row.finished_at} />
                    </span>
                    {row.error && <code class="execution-error truncate foreign">{row.error.code}</code>}
                  </button>
                  <a href={`/executions/${row.id}`}>{words.open}</a>
                </li>
              ))}
            </ul>
            <div class="panel-foot">
              <a href={`/executions?flow_id=${encodeURIComponent(flowId)}`}>{words.all}</a>
              {executions.more && (
                <Button kind="quiet" small onClick={executions.more}>
                  {words.older}
                </Button>
              )}
            </div>
          </>
        )
      }
    </Loaded>
  );
}
