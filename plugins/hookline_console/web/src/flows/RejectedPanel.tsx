import { api, body } from "../api/client";
import { usePages } from "../api/resource";
import { RejectedRequest } from "../rejected/RejectedRequest";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Empty, Loaded } from "../ui/Notices";

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
                  <RejectedRequest request={row} />
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
