import { useMemo, useRef } from "preact/hooks";
import { reasonUnchanged } from "../blocks/useBlocks";
import type { Editing } from "../code/editing";
import type { Commands } from "../code/setup";
import { format } from "../document/edits";
import { stepAt } from "../document/flow_document";
import type { StepPlace } from "../document/steps";
import { texts } from "../texts";
import { showToast } from "../ui/toasts";

const words = texts.editor;

/** What the buttons and the keys of the editor do. */
export function useActs(
  editing: Editing | null,
  rename: (step: StepPlace) => void,
  save: () => Promise<void>,
  menu: () => void,
) {
  const acts = {
    format: () => {
      if (editing && !formatText(editing)) showToast(reasonUnchanged(editing), "bad");
    },
    rename: () => {
      if (editing?.view.state.readOnly) return showToast(reasonUnchanged(editing), "bad");
      const step = editing && stepAt(editing.document, editing.snapshot.selected ?? "");
      if (step) rename(step);
      else showToast(words.rename.noStep, "bad");
    },
    save,
    menu,
  };
  // The editor gets its keys once, and what they do changes.
  const latest = useRef(acts);
  latest.current = acts;
  const commands = useMemo<Commands>(() => {
    const command = (name: keyof typeof acts) => () => {
      latest.current[name]();
      return true;
    };
    return {
      format: command("format"),
      rename: command("rename"),
      save: command("save"),
      menu: command("menu"),
    };
  }, []);
  return { ...acts, commands };
}

/** Bring the text in canonical form; the cursor stays in its value. Returns false if the text isn't JSON. */
function formatText(editing: Editing): boolean {
  const change = format(editing.document, editing.orders);
  if (!change) return false;
  const isSame = change.from === change.to && change.insert === "";
  return isSame || editing.apply({ ...change, pointer: editing.pointer });
}
