/** A draft in an editor, a browser and a server, for tests that mock what keeps drafts. */

import { vi } from "vitest";
import { type Editing, NO_FIELD_TEXTS } from "../code/editing";
import { DraftKeeper } from "./draft_keeper";
import { dropLocalDraft, type LocalDraft, saveLocalDraft } from "./local_drafts";
import { freshText, loadFlow, type Opened } from "./opening";
import { dropServerDraft, saveServerDraft } from "./server_drafts";

/** What is kept of a draft. */
interface Kept {
  /** The text that this browser has. */
  here: string | null;
  /** The text that the server has. */
  there: string | null;
}

const after = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
export const settle = () => vi.advanceTimersByTimeAsync(60_000);

/** A browser and a server without drafts. Each answers a while after it is asked. */
export function begin(): Kept {
  vi.useFakeTimers();
  vi.clearAllMocks();
  vi.stubGlobal("window", new EventTarget());
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
  const kept: Kept = { here: null, there: null };
  let count = 0;
  vi.mocked(saveLocalDraft).mockImplementation(async ({ text }) => {
    await after(10);
    kept.here = text;
  });
  vi.mocked(dropLocalDraft).mockImplementation(async () => {
    await after(10);
    kept.here = null;
  });
  vi.mocked(saveServerDraft).mockImplementation(async (_, { text }) => {
    await after(10);
    kept.there = text;
    return `v${++count}`;
  });
  vi.mocked(dropServerDraft).mockImplementation(async () => {
    await after(10);
    kept.there = null;
  });
  vi.mocked(loadFlow).mockImplementation(async () => {
    await after(100);
    return { version: "two", tag: "two-x" };
  });
  vi.mocked(freshText).mockResolvedValue({ text: "served", base: "two-x" });
  return kept;
}

export function end(): void {
  vi.useRealTimers();
  vi.unstubAllGlobals();
}

/** A draft of a flow in this browser. */
export function localDraft(more: Partial<LocalDraft> = {}): LocalDraft {
  const draft = { person: "jo", flowId: "a", text: "mine", base: "one-x", kept: null, sent: false };
  return { ...draft, fields: NO_FIELD_TEXTS, ...more };
}

/** A draft of a flow in an editor, and what somebody types there. */
export function opened(more: Partial<Opened> = {}) {
  let onText = () => {};
  const flow = {
    ...{ person: "jo", flowId: "a", base: "one-x", text: "served", fields: NO_FIELD_TEXTS },
    ...{ draft: null, other: null, known: null, isSent: false, isGone: false, mayWrite: true },
    ...more,
  };
  const type = (text: string) => {
    editing.document.text = text;
    onText();
  };
  const editing = {
    document: { text: flow.text },
    fieldTexts: NO_FIELD_TEXTS,
    onText: (call: () => void) => {
      onText = call;
      return () => {};
    },
    replace: type,
    setFieldTexts: (texts: Opened["fields"]) => {
      editing.fieldTexts = texts;
      onText();
    },
  };
  const draft = new DraftKeeper(flow as unknown as Opened, () => {});
  const close = draft.attach(editing as unknown as Editing);
  return { draft, type, close, editing };
}
