import { useRef, useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import { moveStep, type Place } from "../document/edits";
import type { FlowDocument } from "../document/flow_document";
import { stepAt } from "../document/flow_document";
import type { Definitions } from "../forms/schema";
import type { Point } from "../picture/layout";
import { texts } from "../texts";
import { showToast } from "../ui/toasts";
import { ACTS, readersOf, type StepAct } from "./acts";
import { type Choice, insertAt, type Spot, spotsAt } from "./inserting";
import { type BlockAct, type EditorAct, READING } from "./keys";

const words = texts.blocks;

/** What is open over the page. */
export type Overlay =
  | { kind: "add"; spots: readonly Spot[]; chosen: number }
  | { kind: "menu"; at: Point }
  | { kind: "keys" };

export interface Blocks {
  overlay: Overlay | null;
  /** Grows when the selected step in the picture is to have the focus. */
  focusTurn: number;
  /** Do something with the selected step. `inPicture`: the focus is in the picture, and stays there. */
  act: (act: BlockAct, options?: { inPicture?: boolean }) => void;
  openMenu: (at: Point, options?: { inPicture?: boolean }) => void;
  /** Choose a step for a place. */
  addAt: (place: Place) => void;
  /** Add what was chosen. */
  add: (place: Place, choice: Choice) => void;
  /** Move a step to another place. */
  drop: (pointer: string, place: Place) => void;
  /** Close what is open. `kind`: only if it is this. */
  close: (kind?: Overlay["kind"]) => void;
  /** Whether the focus was in the picture when something was opened. */
  inPicture: () => boolean;
}

/** Adding, moving, wrapping, duplicating and deleting steps, by keys and by menus. */
export function useBlocks(editing: Editing | null, definitions: Definitions, onEdit: () => void): Blocks {
  const [overlay, setOverlay] = useState<Overlay | null>(null);
  const [focusTurn, setFocusTurn] = useState(0);
  const inPicture = useRef(false);
  const settle = () => {
    if (inPicture.current) setFocusTurn((turn) => turn + 1);
  };
  const open = (made: Overlay | null, options?: { inPicture?: boolean }) => {
    inPicture.current = options?.inPicture ?? false;
    if (made) setOverlay(made);
  };
  const others = (options?: { inPicture?: boolean }): Readonly<Record<EditorAct, () => unknown>> => ({
    addAfter: () => open(additionAt(editing, []), options),
    addBefore: () => open(additionAt(editing, ["before"]), options),
    addInside: () => open(additionAt(editing, INSIDE), options),
    menu: () => open({ kind: "menu", at: MIDDLE() }, options),
    keys: () => open({ kind: "keys" }, options),
    edit: onEdit,
    undo: () => editing?.undo(),
    redo: () => editing?.redo(),
  });
  return {
    overlay,
    focusTurn,
    act: (act, options) => {
      inPicture.current = options?.inPicture ?? false;
      if (editing?.view.state.readOnly && !READING.has(act)) showToast(reasonUnchanged(editing), "bad");
      else if (isStepAct(act)) change(editing, act);
      else others(options)[act]();
      if (!OPENING.has(act)) settle();
    },
    openMenu: (at, options) => open({ kind: "menu", at }, options),
    addAt: (place) =>
      open(editing && { kind: "add", spots: [{ kind: "steps", name: "", place }], chosen: 0 }),
    add: (place, choice) => {
      setOverlay(null);
      if (!editing) return;
      const made = insertAt(editing.document, place, choice, { orders: editing.orders, definitions });
      if (!editing.apply(made)) showToast(reasonUnchanged(editing), "bad");
      settle();
    },
    drop: (pointer, place) => {
      if (!editing) return;
      const { document, orders } = editing;
      if (!editing.apply(moveStep(document, pointer, place, orders)))
        showToast(reasonUnchanged(editing), "bad");
      inPicture.current = true;
      settle();
    },
    close: (kind) => {
      setOverlay((before) => (kind === undefined || before?.kind === kind ? null : before));
      settle();
    },
    inPicture: () => inPicture.current,
  };
}

/** The acts that open something, or lead elsewhere; after all others, the focus stays at the step. */
const OPENING: ReadonlySet<BlockAct> = new Set([
  "addAfter",
  "addBefore",
  "addInside",
  "menu",
  "keys",
  "edit",
]);
const MIDDLE = (): Point => ({ x: window.innerWidth / 2, y: window.innerHeight / 3 });

function isStepAct(act: BlockAct): act is StepAct {
  return act in ACTS;
}

/** The reason why the text can't be changed. */
export function reasonUnchanged({ view }: Pick<Editing, "view">): string {
  return view.state.readOnly ? texts.editor.readOnly : texts.editor.notJson;
}

/** Change the selected step, and say what can't be done. */
function change(editing: Editing | null, act: StepAct): void {
  if (!editing) return;
  const { document, orders, snapshot } = editing;
  const pointer = snapshot.selected;
  if (pointer === null) {
    showToast(words.noStep, "bad");
    return;
  }
  const report = act === "remove" ? deletion(document, pointer) : undefined;
  if (!editing.apply(ACTS[act](document, pointer, orders))) {
    showToast((document.broken ? undefined : words.impossible[act]) ?? reasonUnchanged(editing), "bad");
  } else if (report) showToast(report);
}

/** The dialog that adds a step at a place of one of these kinds, or else behind the selected step. */
function additionAt(editing: Editing | null, kinds: readonly Spot["kind"][]): Overlay | null {
  if (!editing) return null;
  const spots = spotsAt(editing.document, editing.snapshot.selected);
  const chosen = spots.findIndex((spot) => kinds.length === 0 || kinds.includes(spot.kind));
  if (chosen >= 0) return { kind: "add", spots, chosen };
  showToast(kinds === INSIDE ? words.notABlock : words.noStep, "bad");
  return null;
}

const INSIDE: readonly Spot["kind"][] = [
  "case",
  "otherwise",
  "item",
  "branch",
  "try",
  "newCase",
  "newBranch",
];

/** What is said once a step is deleted: above all, which steps still read its result. */
function deletion(document: FlowDocument, pointer: string): string {
  const readers = readersOf(document, pointer);
  return words.deleted(stepAt(document, pointer)?.id ?? "", readers.join(", "));
}
