import type { Schemas } from "../api/client";
import { texts } from "../texts";
import { Time } from "../ui/Time";
import type { DraftOfFlow } from "./useDrafts";

const words = texts.flows.list.drafts;

interface NewDraftsProps {
  drafts: ReadonlyMap<string, DraftOfFlow>;
  flows: readonly Schemas["FlowView"][];
}

/** The drafts of flows that don't exist yet. */
export function NewDrafts({ drafts, flows }: NewDraftsProps) {
  const existing = new Set(flows.map(({ id }) => id));
  const found = [...drafts.values()].filter((draft) => !existing.has(draft.flow_id));
  if (found.length === 0) return null;
  return (
    <section class="card" aria-label={words.label}>
      <h2>{words.label}</h2>
      <ul class="panel-list">
        {found.map((draft) => (
          <li key={draft.flow_id} class="panel-item panel-row">
            <a class="foreign" href={`/flows/${encodeURIComponent(draft.flow_id)}/edit`}>
              {draft.flow_id}
            </a>
            <span class="muted foreign">
              {draft.updated_by ? words.by(draft.updated_by) : words.here}{" "}
              {draft.updated_at && <Time at={draft.updated_at} relative />}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
