import { useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import { idProblem, renameStep } from "../document/edits";
import type { StepPlace } from "../document/steps";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";

const words = texts.editor.rename;

interface RenameDialogProps {
  step: StepPlace;
  editing: Editing;
  onClose: () => void;
}

/** Give a step another id, also in the expressions that name it. */
export function RenameDialog({ step, editing, onClose }: RenameDialogProps) {
  const [id, setId] = useState(step.id);
  const wrong = idProblem(editing.document, step.pointer, id);
  const problem = wrong && words[wrong];
  const rename = () => {
    if (problem) return;
    if (id !== step.id) editing.apply(renameStep(editing.document, step.pointer, id, editing.orders));
    onClose();
  };
  return (
    <Dialog
      title={words.title(step.id)}
      onClose={onClose}
      actions={
        <Button kind="primary" onClick={rename} disabled={problem !== undefined}>
          {words.action}
        </Button>
      }
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          rename();
        }}
      >
        <Field label={words.id} hint={words.hint} problem={problem}>
          <input
            value={id}
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => setId(event.currentTarget.value)}
          />
        </Field>
      </form>
    </Dialog>
  );
}
