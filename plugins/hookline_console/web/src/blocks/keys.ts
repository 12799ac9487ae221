/** The keys by which steps are added, moved and changed, in the picture and in the menu of a step. */

import type { StepAct } from "./acts";

/** What is done beside the document: dialogs are opened, and changes taken back. */
export type EditorAct = "addAfter" | "addBefore" | "addInside" | "edit" | "menu" | "undo" | "redo" | "keys";
export type BlockAct = StepAct | EditorAct;

/** A key with what is held, such as `Alt+ArrowUp`; the first of an act is the one that is shown. */
export const KEYS: Readonly<Record<BlockAct, readonly string[]>> = {
  addAfter: ["a"],
  addBefore: ["Shift+A"],
  addInside: ["i"],
  moveUp: ["Alt+ArrowUp"],
  moveDown: ["Alt+ArrowDown"],
  moveIn: ["Alt+ArrowRight"],
  moveOut: ["Alt+ArrowLeft"],
  wrapTry: ["t"],
  wrapForeach: ["f"],
  wrapSwitch: ["c"],
  wrapParallel: ["p"],
  duplicate: ["d"],
  remove: ["Delete", "Backspace"],
  edit: ["e"],
  menu: ["m", "ContextMenu", "Shift+F10", "Alt+Enter"],
  undo: ["Control+z"],
  redo: ["Control+y", "Control+Shift+Z"],
  keys: ["?"],
};

/** The acts that change nothing, so that readers may do them, too. */
export const READING: ReadonlySet<BlockAct> = new Set(["edit", "menu", "keys"]);

interface Pressed {
  key: string;
  altKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
}

/** What a key does; undefined for all others. On a Mac, Command is Control. */
export function actOf(pressed: Pressed): BlockAct | undefined {
  const name = nameOf(pressed);
  return (Object.keys(KEYS) as BlockAct[]).find((act) => KEYS[act].includes(name));
}

function nameOf({ key, altKey, ctrlKey, metaKey, shiftKey }: Pressed): string {
  // Shift is part of signs such as `?`, and of no others.
  const isShown = shiftKey && (key.length > 1 || /[A-Z]/i.test(key));
  const shown = key.length === 1 && isShown ? key.toUpperCase() : key;
  return `${ctrlKey || metaKey ? "Control+" : ""}${altKey ? "Alt+" : ""}${isShown ? "Shift+" : ""}${shown}`;
}

const SIGNS: Readonly<Record<string, string>> = {
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Control: "Ctrl",
  Delete: "Del",
};

/** A key as people read it, such as `Alt+↑`. */
export function keyText(act: BlockAct): string {
  const [key = ""] = KEYS[act];
  return key
    .split("+")
    .map((part) => SIGNS[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join("+");
}
