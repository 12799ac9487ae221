import { api, body } from "../api/client";
import { usePages } from "../api/resource";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { formatBytes } from "../ui/format";
import { Empty, Loaded } from "../ui/Notices";
import { Time } from "../ui/Time";

const words = texts.flows.rejected;
const AT_ONCE = 25;

/** The recent requests that a flow has rejected. */
export function RejectedPanel({ flowId }: { flowId: string }) {
  const rejected = usePages(
    (cursor, signal) => {
      const params = { path: { flow_id: flowId }, query: { limit: AT_ONCE, ...(cursor && { cursor }) } };
      return body(api.GET("/api/v1/flows/{flow_id}/rejected", { params, signal }));
    },
    [flowId],
  );
  return (
    <Loaded resource={rejected}>
      {(rows) =>
        rows.length === 0 ? (
          <Empty title={words.none.title}>
            <p>{words.none.detail}</p>
          </Empty>
        ) : (
          <>
            <ul class="panel-list" aria-label={words.label}>
              {rows.map((row) => (
                <li key={row.id} class="panel-item">
                  <div class="rejected-head">
                    <Badge tone={row.status >= 500 ? "warn" : "bad"}>{row.status}</Badge>
                    <code class="foreign">{row.code}</code>
                    <span class="muted">
                      <Time at={row.at} relative />
                    </span>
                  </div>
                  <p class="foreign">{row.detail}</p>
                  <p class="muted foreign">
                    {row.method} /hook/{row.path} · {formatBytes(row.size)}
                    {row.client && ` · ${words.from(row.client)}`}
                  </p>
                  {row.body !== null && (
                    <details>
                      <summary>{words.body}</summary>
                      <pre class="code-block foreign">{row.body}</pre>
                    </details>
                  )}
                </li>
              ))}
            </ul>
            {rejected.more && (
              <div class="panel-foot">
                <Button kind="quiet" small onClick={rejected.more}>
                  {words.older}
                </Button>
              </div>
            )}
          </>
        )
      }
    </Loaded>
  );
}
