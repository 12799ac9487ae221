/** Serving an earlier version of a flow again. */

import { api, body, type Schemas } from "../api/client";
import { ApiError } from "../api/problem";

/** The errors that ask for a decision, and the field of the request that gives it. */
const DECISIONS: Readonly<Record<string, keyof Decisions>> = {
  "flow.unpublished_changes": "force",
  "flow.poll_starts_anew": "existing",
};

export interface Decisions {
  /** Drop changes of the flow's file that were never published. */
  force?: boolean;
  /** Whether the items that a poll finds when it starts anew start executions. */
  existing?: boolean;
}

export interface Question {
  decision: keyof Decisions;
  /** Why it has to be decided. */
  detail: string;
}

/** Serve an earlier version again, or return what has to be decided first. Throws `ApiError`. */
export async function rollBack(
  flowId: string,
  version: string,
  decided: Decisions,
): Promise<Schemas["RolledBack"] | Question> {
  try {
    const params = { path: { flow_id: flowId } };
    return await body(
      api.POST("/api/v1/flows/{flow_id}/rollback", { params, body: { version, ...decided } }),
    );
  } catch (error) {
    const decision = error instanceof ApiError ? DECISIONS[error.code] : undefined;
    if (decision === undefined) throw error;
    return { decision, detail: (error as ApiError).detail };
  }
}
