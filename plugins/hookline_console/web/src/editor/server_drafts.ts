/** Drafts on the server, which serve nobody: they are there in another browser, and for others who edit the flow. */

import { api, body, type Schemas } from "../api/client";
import { ApiError } from "../api/problem";
import { versionOf } from "./deployment";

export type ServerDraft = Schemas["DraftView"];

/** The most drafts that a server keeps. */
const ALL = 100;

/** What is known of all drafts, besides their texts. */
export async function listDrafts(signal?: AbortSignal): Promise<readonly Schemas["DraftInfoView"][]> {
  const params = { query: { limit: ALL } };
  const { items } = await body(api.GET("/api/v1/drafts", { params, ...(signal && { signal }) }));
  return items;
}

/** The draft of a flow, or null. */
export async function loadServerDraft(flowId: string, signal?: AbortSignal): Promise<ServerDraft | null> {
  // A request for a draft that isn't there would be an error in the log of the browser.
  const known = await listDrafts(signal);
  if (!known.some((each) => each.flow_id === flowId)) return null;
  const params = { path: { flow_id: flowId } };
  try {
    return await body(api.GET("/api/v1/drafts/{flow_id}", { params, ...(signal && { signal }) }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/**
 * Save the draft of a flow, and return its version.
 *
 * `base`: the ETag of the flow from which it was made. `known`: the version of the draft that it replaces; null if there
 * must be none. Throws `ApiError`, 412 if there is another draft.
 */
export async function saveServerDraft(
  flowId: string,
  draft: { text: string; base: string | null },
  known: string | null,
): Promise<string> {
  const { text, base } = draft;
  const params = { path: { flow_id: flowId }, header: conditions(known) };
  const wanted = { text, base: base === null ? null : versionOf(base) };
  return (await body(api.PUT("/api/v1/drafts/{flow_id}", { params, body: wanted }))).version;
}

/** Remove the draft of a flow, unless somebody else has saved another one. */
export async function dropServerDraft(flowId: string, known: string): Promise<void> {
  const params = { path: { flow_id: flowId }, header: conditions(known) };
  try {
    await api.DELETE("/api/v1/drafts/{flow_id}", { params });
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 412)) throw error;
  }
}

function conditions(known: string | null) {
  return known === null ? { "If-None-Match": "*" as const } : { "If-Match": `"${known}"` };
}
