/** A captured request, read as its sender meant it. */

import type { Schemas } from "../api/client";
import { type Json, parse } from "../json/json";
import type { Tone } from "../ui/Badge";

export type CapturedInfo = Schemas["CapturedInfoView"];
/** The client of the API takes pairs for lists. */
export type CapturedRequest = Omit<Schemas["CapturedRequestView"], "headers"> & {
  headers: readonly (readonly string[])[];
};
export type Capture = Schemas["CaptureView"];

export const TONES: Readonly<Record<CapturedInfo["result"], Tone>> = {
  captured: "info",
  accepted: "ok",
  duplicate: "idle",
  answered: "idle",
  rejected: "bad",
};

/** The request whose details are shown, and whether it is still kept. */
export interface Shown {
  info: CapturedInfo;
  isKept: boolean;
}

/** The request to show of those that are kept, newest first: the chosen one, also once it is gone, or else the newest. */
export function shownRequest(kept: readonly CapturedInfo[], chosen: CapturedInfo | null): Shown | null {
  const info = chosen === null ? kept[0] : kept.find(({ id }) => id === chosen.id);
  if (info) return { info, isKept: true };
  return chosen && { info: chosen, isKept: false };
}

type Body = Pick<CapturedRequest, "body" | "encoding">;

/** The body as JSON, whatever its type says; undefined if it is something else. */
export function jsonBody({ body, encoding }: Body): Json | undefined {
  if (!body || encoding !== "text") return undefined;
  try {
    return parse(body);
  } catch {
    return undefined;
  }
}

/** The parameters of a query, in their order. */
export function queryPairs(query: string): [string, string][] {
  return [...new URLSearchParams(query)];
}

/** The fields of the form in a body, in their order: the name and the text of each. A file is none. */
export async function formFields(
  request: Body & { content_type: string | null },
): Promise<[string, string][]> {
  const { body, encoding, content_type } = request;
  if (body === null || content_type === null) return [];
  const bytes = encoding === "text" ? body : Uint8Array.from(atob(body), (each) => each.charCodeAt(0));
  const form = await new Response(bytes, { headers: { "content-type": content_type } }).formData();
  return [...form].filter((field): field is [string, string] => typeof field[1] === "string");
}

/** The time for which a capture goes on, as minutes and seconds; null if it is closed. */
export function timeLeft(capture: Pick<Capture, "open" | "expires_at">, now: Date): string | null {
  const seconds = Math.ceil((new Date(capture.expires_at).getTime() - now.getTime()) / 1000);
  if (!capture.open || seconds <= 0) return null;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
