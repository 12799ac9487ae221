import "./blocks.css";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import type { Blocks } from "./useBlocks";

const words = texts.blocks;

/** The buttons above the picture and the form: they add a step, and open the menu of the selected one. */
export function StepBar({ blocks }: { blocks: Blocks }) {
  const openMenu = (event: MouseEvent) => {
    const { left, bottom } = (event.currentTarget as Element).getBoundingClientRect();
    blocks.openMenu({ x: left, y: bottom + 4 });
  };
  return (
    <div class="step-bar" role="toolbar" aria-label={words.menu}>
      <Button small scope="author" onClick={() => blocks.act("addAfter")}>
        {words.add}
      </Button>
      <button type="button" class="button button-small" aria-haspopup="menu" onClick={openMenu}>
        {words.menu}
      </button>
      <Button small kind="quiet" scope="author" onClick={() => blocks.act("undo")}>
        {words.acts.undo}
      </Button>
      <Button small kind="quiet" scope="author" onClick={() => blocks.act("redo")}>
        {words.acts.redo}
      </Button>
    </div>
  );
}
