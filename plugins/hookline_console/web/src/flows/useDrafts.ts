import { useMemo } from "preact/hooks";
import { useResource } from "../api/resource";
import { listLocalDrafts } from "../editor/local_drafts";
import { listDrafts } from "../editor/server_drafts";
import { useAllows, useSession } from "../shell/SessionContext";

/** A draft; one that is in this browser only says neither who saved it nor when. */
export interface DraftOfFlow {
  flow_id: string;
  updated_by?: string;
  updated_at?: string;
}

const NONE: ReadonlyMap<string, DraftOfFlow> = new Map();

/** The drafts on the server and in this browser, by flow. */
export function useDrafts(): ReadonlyMap<string, DraftOfFlow> {
  const mayWrite = useAllows("author");
  const person = useSession().me.name;
  const found = useResource(
    (signal) => Promise.all([mayWrite ? listDrafts(signal) : [], listLocalDrafts(person)]),
    [mayWrite, person],
  );
  return useMemo(() => {
    if (!found.value) return NONE;
    const [saved, local] = found.value;
    const drafts = [...local.map((flow_id): DraftOfFlow => ({ flow_id })), ...saved];
    return new Map(drafts.map((draft) => [draft.flow_id, draft]));
  }, [found.value]);
}
