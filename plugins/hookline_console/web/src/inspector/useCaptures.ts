import { api, body } from "../api/client";
import { type Resource, useResource } from "../api/resource";
import { tellPending } from "../flows/FlowActions";
import type { Capture, CapturedInfo } from "./captured";

/** All that a capture keeps. */
const MOST_REQUESTS = 50;

/** The captures, which are counted again as requests come. */
export function useCaptures(): Resource<Capture[]> {
  return useResource(
    async (signal) => (await body(api.GET("/api/v1/captures", { signal }))).items,
    [],
    (event) => event.kind === "request.captured",
  );
}

/** The captured requests of a flow, newest first, as they come. */
export function useCapturedRequests(flowId: string): Resource<CapturedInfo[]> {
  const params = { path: { flow_id: flowId }, query: { limit: MOST_REQUESTS } };
  return useResource(
    async (signal) => (await body(api.GET("/api/v1/captures/{flow_id}/requests", { params, signal }))).items,
    [flowId],
    (event) => event.kind === "request.captured" && event.data.flow_id === flowId,
  );
}

/** The page of a capture. */
export function captureUrl(flowId: string): string {
  return `/inspector/${encodeURIComponent(flowId)}`;
}

/** Capture the requests to a flow's URL for ten minutes from now. */
export async function openCapture(flowId: string): Promise<void> {
  const opened = await body(api.POST("/api/v1/captures", { body: { flow_id: flowId } }));
  tellPending(opened.pending);
}

export async function closeCapture(flowId: string): Promise<void> {
  await api.POST("/api/v1/captures/{flow_id}/close", { params: { path: { flow_id: flowId } } });
}

export async function removeCapture(flowId: string): Promise<void> {
  await api.DELETE("/api/v1/captures/{flow_id}", { params: { path: { flow_id: flowId } } });
}
