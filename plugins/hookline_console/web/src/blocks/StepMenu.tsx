import type { Editing } from "../code/editing";
import { stepAt } from "../document/flow_document";
import { stepLists } from "../document/steps";
import type { Point } from "../picture/layout";
import { texts } from "../texts";
import { MenuAt, type MenuItem } from "../ui/Menu";
import { actOf, type BlockAct, keyText, READING } from "./keys";
import { type Direction, target } from "./moving";
import type { Blocks } from "./useBlocks";

const words = texts.blocks;

/** The order in which the menu has them. */
const MENU: readonly BlockAct[] = [
  "addAfter",
  "addBefore",
  "addInside",
  "edit",
  "moveUp",
  "moveDown",
  "moveIn",
  "moveOut",
  "wrapTry",
  "wrapForeach",
  "wrapSwitch",
  "wrapParallel",
  "duplicate",
  "remove",
  "undo",
  "redo",
  "keys",
];
const DIRECTIONS: Readonly<Partial<Record<BlockAct, Direction>>> = {
  moveUp: "up",
  moveDown: "down",
  moveIn: "in",
  moveOut: "out",
};

/** What can be done with the selected step. Its keys work in the menu, too. */
export function StepMenu({ editing, blocks, at }: { editing: Editing; blocks: Blocks; at: Point }) {
  const { selected } = editing.snapshot;
  const step = selected === null ? undefined : stepAt(editing.document, selected);
  const run = (act: BlockAct) => {
    const inPicture = blocks.inPicture();
    blocks.close("menu");
    blocks.act(act, { inPicture });
  };
  const items = MENU.map(
    (act): MenuItem => ({
      label: words.acts[act],
      keys: keyText(act),
      danger: act === "remove",
      ...(!READING.has(act) && { scope: "author" }),
      disabled: !isPossible(editing, step?.pointer, act),
      onSelect: () => run(act),
    }),
  );
  return (
    <MenuAt
      label={step ? words.menuOf(step.id) : words.menu}
      items={items}
      at={at}
      onClose={() => blocks.close("menu")}
      onKeyDown={(event) => {
        const act = actOf(event);
        if (!act || act === "menu" || !isPossible(editing, step?.pointer, act)) return;
        event.preventDefault();
        // The focus goes back to where it was.
        (event.currentTarget as HTMLElement).hidePopover();
        run(act);
      }}
    />
  );
}

const ALWAYS: ReadonlySet<BlockAct> = new Set(["addAfter", "edit", "undo", "redo", "keys"]);

function isPossible({ document }: Editing, pointer: string | undefined, act: BlockAct): boolean {
  if (ALWAYS.has(act)) return true;
  const step = pointer === undefined ? undefined : stepAt(document, pointer);
  if (!step) return false;
  if (act === "addInside") return stepLists(step.step).length > 0;
  const direction = DIRECTIONS[act];
  return direction === undefined || target(document, step.pointer, direction) !== null;
}
