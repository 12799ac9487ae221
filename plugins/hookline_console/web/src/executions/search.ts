import { api, body } from "../api/client";
import type { Summary } from "./live_list";
import type { ListQuery } from "./query";

/** Search the contents of executions, a page at a time. A page may have few items, and still not be the last one. */
export async function searchExecutions(
  { cursor, ...filter }: ListQuery,
  content: { text?: string; jsonpath?: string },
  signal?: AbortSignal,
): Promise<{ items: Summary[]; next: string | null; scanned: number }> {
  const given = { ...filter, ...content, ...(cursor ? { after: cursor } : {}) };
  return body(api.POST("/api/v1/executions/search", { body: given, ...(signal ? { signal } : {}) }));
}
