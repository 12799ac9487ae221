import { useEffect, useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { events } from "../api/events";
import { useResource } from "../api/resource";

/** The counts are made from journals, so that they are loaded again at most this often. */
const PAUSE_MS = 3000;
const NONE: ReadonlyMap<string, number> = new Map();

interface Live {
  counts: Schemas["StepCounts"] | undefined;
  /** How often each step has ended since the page was opened, by its id. */
  beats: ReadonlyMap<string, number>;
}

/** The counts of a flow's steps, which follow its executions while the page is seen. */
export function useStepCounts(flowId: string): Live {
  const path = { flow_id: flowId };
  const counts = useResource(
    (signal) => body(api.GET("/api/v1/flows/{flow_id}/step-counts", { params: { path }, signal })),
    [flowId],
    (event) => event.data.flow_id === flowId,
    PAUSE_MS,
  );
  const [beats, setBeats] = useState(NONE);
  useEffect(() => {
    setBeats(NONE);
    return events.subscribe(({ data }) => {
      const id = data.flow_id === flowId ? data.step?.id : undefined;
      if (id !== undefined) setBeats((before) => new Map(before).set(id, (before.get(id) ?? 0) + 1));
    });
  }, [flowId]);
  return { counts: counts.value, beats };
}
