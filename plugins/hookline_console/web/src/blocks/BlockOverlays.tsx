import type { Editing } from "../code/editing";
import type { Definitions } from "../forms/schema";
import { AddDialog } from "./AddDialog";
import { KeysDialog } from "./KeysDialog";
import { StepMenu } from "./StepMenu";
import type { Blocks } from "./useBlocks";

interface BlockOverlaysProps {
  editing: Editing;
  blocks: Blocks;
  definitions: Definitions;
}

/** The menu of a step, the dialog that adds one, or the list of the keys, if one of them is open. */
export function BlockOverlays({ editing, blocks, definitions }: BlockOverlaysProps) {
  const { overlay } = blocks;
  switch (overlay?.kind) {
    case "add":
      return (
        <AddDialog
          document={editing.document}
          spots={overlay.spots}
          chosen={overlay.chosen}
          definitions={definitions}
          onAdd={blocks.add}
          onClose={() => blocks.close()}
        />
      );
    case "menu":
      return <StepMenu editing={editing} blocks={blocks} at={overlay.at} />;
    case "keys":
      return <KeysDialog onClose={() => blocks.close()} />;
    default:
      return null;
  }
}
