import "./rejected.css";
import { api, body, type Schemas } from "../api/client";
import { usePages, useResource } from "../api/resource";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { FilterBar, SelectFilter, useFilters } from "../ui/Filters";
import { Empty, Loaded } from "../ui/Notices";
import { Page } from "../ui/Page";
import { useRefresh } from "../ui/useRefresh";
import { RejectedRequest } from "./RejectedRequest";
import { codesOf, flowsOf } from "./reasons";

const words = texts.rejected;
/** No event tells of rejected requests. */
const REFRESH_MS = 15_000;

/** The rejected requests of all flows, newest first. */
export function Rejected() {
  const filters = useFilters(["flow_id", "code"]);
  const { flow_id, code } = filters.values;
  const reasons = useResource((signal) => body(api.GET("/api/v1/rejected/reasons", { signal })), []);
  const rejected = usePages(
    (cursor, signal) => {
      const query = { ...(flow_id && { flow_id }), ...(code && { code }), ...(cursor && { cursor }) };
      return body(api.GET("/api/v1/rejected", { params: { query }, signal }));
    },
    [flow_id, code],
  );
  useRefresh(rejected.reload, REFRESH_MS);
  useRefresh(reasons.reload, REFRESH_MS);
  const known = reasons.value?.items ?? [];
  return (
    <Page title={texts.pages.rejected} lead={words.lead}>
      <FilterBar filters={filters}>
        <SelectFilter
          filters={filters}
          name="flow_id"
          label={words.allFlows}
          options={flowsOf(known, flow_id, words.unknownFlow)}
        />
        <SelectFilter
          filters={filters}
          name="code"
          label={words.allReasons}
          options={codesOf(known, flow_id, code)}
        />
      </FilterBar>
      <section class="card" aria-label={words.label}>
        <Loaded resource={rejected} lines={8}>
          {(rows) =>
            rows.length === 0 ? <None filtered={Boolean(flow_id || code)} /> : <List rows={rows} />
          }
        </Loaded>
        {rejected.more && (
          <div class="rejected-more">
            <Button kind="quiet" small onClick={rejected.more}>
              {words.older}
            </Button>
          </div>
        )}
      </section>
    </Page>
  );
}

function List({ rows }: { rows: readonly Schemas["RejectedView"][] }) {
  return (
    <ul class="rejected-list">
      {rows.map((row) => (
        <li key={row.id}>
          <RejectedRequest request={row} withFlow />
        </li>
      ))}
    </ul>
  );
}

function None({ filtered }: { filtered: boolean }) {
  const none = filtered ? words.noneFit : words.none;
  return (
    <Empty title={none.title}>
      <p>{none.detail}</p>
    </Empty>
  );
}
