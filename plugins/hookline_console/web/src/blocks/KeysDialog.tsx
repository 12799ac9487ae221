import { texts } from "../texts";
import { Dialog } from "../ui/Dialog";
import { type BlockAct, KEYS, keyText } from "./keys";

const words = texts.blocks;

/** The keys of the picture, which work in the menu of a step, too. */
export function KeysDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={words.acts.keys} onClose={onClose}>
      <p class="muted">{words.keysHint}</p>
      <table class="table">
        <tbody>
          {(Object.keys(KEYS) as BlockAct[]).map((act) => (
            <tr key={act}>
              <td>{words.acts[act]}</td>
              <td>
                <kbd>{keyText(act)}</kbd>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
