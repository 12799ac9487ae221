import { useEffect, useRef, useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import { DraftKeeper } from "./draft_keeper";
import type { Opened } from "./opening";

/** Keep what is being written, and show how it is kept. */
export function useDraft(opened: Opened, editing: Editing | null): DraftKeeper {
  const [, show] = useState(0);
  const keeper = useRef<DraftKeeper | null>(null);
  keeper.current ??= new DraftKeeper(opened, () => show((turn) => turn + 1));
  const draft = keeper.current;
  useEffect(() => (editing ? draft.attach(editing) : undefined), [editing]);
  return draft;
}
