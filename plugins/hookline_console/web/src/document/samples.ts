/** What the tests of documents and of their changes share. */

import type { Change } from "./edits";

export const act = (id: string, body: unknown = "$.body") => ({ id, use: "map", with: { body } });

/** A text with a change made. */
export function textAfter(text: string, change: Change | null): string {
  if (change === null) throw new Error("no change");
  return text.slice(0, change.from) + change.insert + text.slice(change.to);
}
