/** Deploying the text of the editor: what it would change, doing it, and what somebody else has deployed meanwhile. */

import { api, body, type Schemas } from "../api/client";
import { ApiError } from "../api/problem";
import type { Resource } from "../api/resource";
import { type FlowDifference, readDifferences } from "../flows/flow_differences";

export { askRollBack as rollBack } from "../flows/RollBackDialog";

export type Result = Schemas["DeploymentResultView"];

/** New cases of a flow, and those from which they were made. */
export interface ChangedCases {
  text: string;
  /** The ETag of the cases before; null if there were none. */
  base: string | null;
}

export interface Deployment {
  flowId: string;
  /** The document, which is sent as it is written. */
  text: string;
  /** The ETag of the flow from which it was made; null if the flow didn't exist. */
  base: string | null;
  /** Its cases, if they change with it. */
  cases: ChangedCases | null;
  message: string;
  /** Overwrite changes in the flow's file that were never published. */
  force: boolean;
}

/** Deploy a text, or only say what that would mean. Throws `ApiError`. */
export async function deploy(
  { flowId, text, base, cases, message, force }: Deployment,
  { dryRun }: { dryRun: boolean },
): Promise<Result> {
  const wanted = {
    expected: { [flowId]: base },
    expected_cases: cases === null ? {} : { [flowId]: cases.base },
    message: message || null,
    force,
    dry_run: dryRun,
  };
  return body(
    api.POST("/api/v1/deployments", {
      body: { flows: {}, ...wanted },
      // The texts are sent as they are, since JavaScript can't hold all numbers.
      bodySerializer: () => {
        const id = JSON.stringify(flowId);
        const more = cases === null ? "" : `"cases": {${id}: ${cases.text}}, `;
        return `{"flows": {${id}: ${text}}, ${more}${JSON.stringify(wanted).slice(1)}`;
      },
    }),
  );
}

/** What a text changes in meaning, compared with the version that serves; nothing for a new flow. */
export async function changesOf(text: string, base: string | null): Promise<readonly FlowDifference[]> {
  if (base === null) return [];
  // It is never aborted, since the server then ends the process that compares.
  const { data } = await api.POST("/api/v1/diff", { body: { text }, parseAs: "text" });
  return readDifferences(data as string);
}

type Loaded = Pick<Resource<unknown>, "value" | "error" | "loading">;

/**
 * Whether a text may be deployed: there is a plan, and it is known what happens to the flow's cases.
 *
 * What can't be compared may be deployed, too, since a text may serve although the server takes too long to compare it.
 */
export function canDeploy(plan: Loaded, changes: Loaded, cases: Loaded): boolean {
  if (plan.value === undefined || plan.error !== undefined) return false;
  if (changes.error !== undefined) return true;
  return changes.value !== undefined && !cases.loading && cases.error === undefined;
}

/** Whether the flow is served by another version than the one from which the text was made. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === "flow.conflict";
}

/** Whether a request may have been carried out although it failed. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 500);
}

/** Whether somebody else has saved test cases of the flow since they were read. */
export function isCasesConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === "cases.conflict";
}

/** Whether the flow's file has changes that this would overwrite unseen. */
export function isUnpublished(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === "flow.unpublished_changes";
}

/** The tag in the headers of a response; null if it has none, since no version serves. */
export function tagOf(response: Response): string | null {
  return response.headers.get("ETag")?.replace(/^(?:W\/)?"(.*)"$/, "$1") ?? null;
}

/** The version in an ETag, which also has a hash of what makes no version, such as the title. */
export function versionOf(tag: string): string {
  return tag.split("-")[0] ?? tag;
}
