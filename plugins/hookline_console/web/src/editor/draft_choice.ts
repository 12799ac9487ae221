/** Which draft of a flow is edited, if there is one in this browser and one on the server. */

import { versionOf } from "./deployment";
import type { LocalDraft } from "./local_drafts";
import type { ServerDraft } from "./server_drafts";

export interface Beginning {
  /** The draft in this browser that is continued. */
  draft: LocalDraft | null;
  /** The draft on the server that somebody has to look at first: another one than that in this browser. */
  other: ServerDraft | null;
  /** The version of the draft on the server that this browser's continues; null if there is none. */
  known: string | null;
  /** Whether the server has the text of this browser's draft. */
  isSent: boolean;
  /** The draft on the server that this browser's continues was deployed or discarded elsewhere. */
  isGone: boolean;
}

/** What is known of the draft on the server when the editor opens. `server`: undefined if this person can't see it. */
export function beginningOf(local: LocalDraft | null, server: ServerDraft | null | undefined): Beginning {
  const begun = { draft: local, other: null, known: null, isSent: false, isGone: false };
  if (server === undefined) return begun;
  if (server === null) {
    if (local === null || local.kept === null) return begun;
    return local.sent && local.fields.size === 0 ? { ...begun, draft: null } : { ...begun, isGone: true };
  }
  // It was saved from here, or has the same text.
  const isOurs = local !== null && (local.kept === server.version || local.text === server.text);
  return isOurs
    ? { ...begun, known: server.version, isSent: local.text === server.text }
    : { ...begun, other: server };
}

/** The ETag of the flow for a version from which a draft was made. `tag`: that of the flow now. */
export function baseOf(draft: Pick<ServerDraft, "base">, tag: string | null): string | null {
  return tag !== null && versionOf(tag) === draft.base ? tag : draft.base;
}
