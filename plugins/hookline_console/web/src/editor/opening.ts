/** What is loaded to edit a flow, and the text with which its editor begins. */

import { api, body } from "../api/client";
import { ApiError } from "../api/problem";
import { FlowLanguage } from "../code/language";
import { formatFlow, type KeyOrders, ordersOf } from "../document/format";
import { memberOf, parse, treeFrom } from "../document/tree";
import type { Schema } from "../forms/schema";
import { tagOf } from "./deployment";
import { beginningOf } from "./draft_choice";
import { type LocalDraft, loadLocalDraft } from "./local_drafts";
import { loadServerDraft, type ServerDraft } from "./server_drafts";

export interface Opened {
  flowId: string;
  /** The ETag of the flow from which the text was made; null if the flow doesn't exist. */
  base: string | null;
  /** The text with which the editor begins. */
  text: string;
  /** The draft in this browser from which the text is; null if it is what serves, or a new flow. */
  draft: LocalDraft | null;
  /** Another draft of the flow on the server, which has to be looked at first. */
  other: ServerDraft | null;
  /** The version of the draft on the server that the text continues. */
  known: string | null;
  /** Whether the server has the text of the draft. */
  isSent: boolean;
  /** Whether the server takes a draft from this person. */
  mayWrite: boolean;
  /** The JSON Schema of flows. */
  schema: Schema;
  language: FlowLanguage;
  orders: KeyOrders;
}

/** Load a flow, whose schema takes a while. Also one that doesn't exist yet. Only authors see drafts of others. */
export async function open(flowId: string, mayWrite: boolean, signal: AbortSignal): Promise<Opened> {
  const [schema, flow, draft, server] = await Promise.all([
    body(api.GET("/api/v1/schema", { signal })),
    loadFlow(flowId, signal),
    loadLocalDraft(flowId),
    mayWrite ? loadServerDraft(flowId, signal) : null,
  ]);
  const orders = ordersOf(schema);
  const text = draft?.text ?? (await servedText(flowId, flow, orders, signal)) ?? emptyFlow(flowId, orders);
  const base = draft ? draft.base : (flow?.tag ?? null);
  const beginning = beginningOf(draft, server);
  const language = new FlowLanguage(schema);
  return { flowId, base, text, draft, ...beginning, mayWrite, schema: schema as Schema, language, orders };
}

/** The text of a version, in canonical form. It is never decoded, since JavaScript can't hold all numbers. */
export async function loadVersion(
  flowId: string,
  version: string,
  orders: KeyOrders,
  signal?: AbortSignal,
): Promise<string> {
  const params = { path: { flow_id: flowId, version } };
  const text = await body(
    api.GET("/api/v1/flows/{flow_id}/versions/{version}", {
      params,
      parseAs: "text",
      ...(signal && { signal }),
    }),
  );
  return formatFlow(memberOf(parse(text).tree, "document") ?? treeFrom({}), orders);
}

/** The text of the version that serves, in canonical form; null if there is none. */
async function servedText(
  flowId: string,
  flow: ServedFlow | null,
  orders: KeyOrders,
  signal?: AbortSignal,
): Promise<string | null> {
  return flow?.version ? loadVersion(flowId, flow.version, orders, signal) : null;
}

/** What an editor without a draft begins with, and the ETag of the flow. */
export async function freshText(
  flowId: string,
  orders: KeyOrders,
): Promise<{ text: string; base: string | null }> {
  const flow = await loadFlow(flowId);
  const text = (await servedText(flowId, flow, orders)) ?? emptyFlow(flowId, orders);
  return { text, base: flow?.tag ?? null };
}

function emptyFlow(flowId: string, orders: KeyOrders): string {
  const trigger = { use: "webhook", with: { verify: "none" } };
  return formatFlow(treeFrom({ id: flowId, title: "", trigger, steps: [] }), orders);
}

interface ServedFlow {
  version: string | null;
  tag: string | null;
}

/** The version of a flow that serves, and the flow's ETag; null if there is no such flow. */
export async function loadFlow(flowId: string, signal?: AbortSignal): Promise<ServedFlow | null> {
  const params = { path: { flow_id: flowId } };
  try {
    const { data, response } = await api.GET("/api/v1/flows/{flow_id}", {
      params,
      ...(signal && { signal }),
    });
    return { version: data?.version ?? null, tag: tagOf(response) };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}
