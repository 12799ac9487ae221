/** The cases of a flow, whose steps are renamed with those of the flow when that is deployed. */

import { api, body } from "../api/client";
import { renamedCases } from "../document/renamed_cases";
import type { FlowDifference } from "../flows/flow_differences";
import { scalar } from "../json/tree";
import { type ChangedCases, tagOf } from "./deployment";

/** The new cases of a flow; null if the differences rename no step that they name. */
export async function casesAfter(
  flowId: string,
  differences: readonly FlowDifference[],
): Promise<ChangedCases | null> {
  const renames = new Map<string, string>();
  for (const { kind, old, new: now } of differences) {
    if (kind === "step_renamed" && old && now) renames.set(scalar(old), scalar(now));
  }
  if (renames.size === 0) return null;
  const params = { path: { flow_id: flowId } };
  // Their text is never decoded, since JavaScript can't hold all numbers.
  const got = api.GET("/api/v1/flows/{flow_id}/cases", { params, parseAs: "text" });
  const text = renamedCases(await body(got), renames);
  return text === null ? null : { text, base: tagOf((await got).response) };
}
