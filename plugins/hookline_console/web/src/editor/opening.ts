/** What is loaded to edit a flow, and the text with which its editor begins. */

import { api, body } from "../api/client";
import { ApiError } from "../api/problem";
import { type FieldText, NO_FIELD_TEXTS } from "../code/editing";
import { FlowLanguage } from "../code/language";
import { formatFlow, type KeyOrders, ordersOf } from "../document/format";
import { memberOf, parse, treeFrom } from "../document/tree";
import type { Schema } from "../forms/schema";
import { tagOf } from "./deployment";
import { type Beginning, beginningOf } from "./draft_choice";
import { dropLocalDraft, loadLocalDraft } from "./local_drafts";
import { loadServerDraft } from "./server_drafts";

export interface Opened extends Beginning {
  /** The name of who edits it. */
  person: string;
  flowId: string;
  /** The ETag of the flow from which the text was made; null if the flow doesn't exist. */
  base: string | null;
  /** The text with which the editor begins. */
  text: string;
  /** What was typed into the form and isn't in the text yet. */
  fields: ReadonlyMap<string, FieldText>;
  /** Whether the server takes a draft from this person. */
  mayWrite: boolean;
  /** The JSON Schema of flows. */
  schema: Schema;
  language: FlowLanguage;
  orders: KeyOrders;
}

/** Load a flow, whose schema takes a while. Also one that doesn't exist yet. Only authors see drafts of others. */
export async function open(
  flowId: string,
  { person, mayWrite }: Pick<Opened, "person" | "mayWrite">,
  signal: AbortSignal,
): Promise<Opened> {
  const [schema, flow, local, server] = await Promise.all([
    body(api.GET("/api/v1/schema", { signal })),
    loadFlow(flowId, signal),
    loadLocalDraft(person, flowId),
    mayWrite ? loadServerDraft(flowId, signal) : undefined,
  ]);
  const edited = local?.text == null ? null : local;
  const beginning = beginningOf(edited, server);
  const { draft } = beginning;
  const isOver = edited !== draft;
  if (isOver) await dropLocalDraft(person, flowId);
  const orders = ordersOf(schema);
  const text = draft?.text ?? (await servedText(flowId, flow, orders, signal)) ?? emptyFlow(flowId, orders);
  return {
    ...{ person, flowId, mayWrite, orders, text, ...beginning },
    base: draft ? draft.base : (flow?.tag ?? null),
    fields: (isOver ? null : local?.fields) ?? NO_FIELD_TEXTS,
    schema: schema as Schema,
    language: new FlowLanguage(schema),
  };
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
