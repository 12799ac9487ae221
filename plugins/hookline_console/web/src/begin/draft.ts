/** A draft that begins with a document, for the editor to open. */

import { api, body } from "../api/client";
import { NO_FIELD_TEXTS } from "../code/editing";
import { formatFlow, ordersOf } from "../document/format";
import { treeFrom } from "../document/tree";
import { loadLocalDraft, saveLocalDraft } from "../editor/local_drafts";
import { loadServerDraft } from "../editor/server_drafts";

/** What has a name already; null if nothing has. */
export type Taken = "flow" | "draft" | null;

export async function takenBy(person: string, flowId: string): Promise<Taken> {
  const { items } = await body(api.GET("/api/v1/flows"));
  if (items.some(({ id }) => id === flowId)) return "flow";
  const found = await Promise.all([loadLocalDraft(person, flowId), loadServerDraft(flowId)]);
  return found.every((draft) => draft === null) ? null : "draft";
}

/** Keep a document as the draft of a flow that doesn't exist yet, as `hookline fmt` writes it. */
export async function beginDraft(person: string, flowId: string, document: object): Promise<void> {
  const orders = ordersOf(await body(api.GET("/api/v1/schema")));
  await saveLocalDraft({
    person,
    flowId,
    text: formatFlow(treeFrom(document), orders),
    base: null,
    // If there is one, it has been decided that this one replaces it.
    kept: (await loadServerDraft(flowId))?.version ?? null,
    sent: false,
    fields: NO_FIELD_TEXTS,
  });
}
