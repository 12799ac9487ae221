import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Time } from "../ui/Time";
import type { DraftKeeper } from "./draft_keeper";
import { TextDifferences } from "./TextDifferences";

const words = texts.editor.otherDraft;

interface DraftDialogProps {
  draft: DraftKeeper;
  /** The text in the editor. */
  text: string;
  onClose: () => void;
}

/** What somebody has to choose before the text in the editor is sent. */
export function DraftDialog(props: DraftDialogProps) {
  return props.draft.isGone ? <GoneDialog {...props} /> : <OtherDialog {...props} />;
}

/** The draft was removed elsewhere: what the text here changes, and whether it is a draft again. */
function GoneDialog({ draft, text, onClose }: DraftDialogProps) {
  const act = (choose: () => Promise<void>) => async () => {
    onClose();
    await choose();
  };
  return (
    <Dialog
      title={words.gone.title}
      onClose={onClose}
      wide
      actions={
        <>
          <Button onClick={act(draft.discard)}>{words.gone.takeServing}</Button>
          <Button kind="primary" scope="author" onClick={act(draft.keepMine)}>
            {words.gone.keepMine}
          </Button>
        </>
      }
    >
      <p>{words.gone.detail}</p>
      <section aria-label={words.mine}>
        <h3>{words.mine}</h3>
        <TextDifferences text={text} base={draft.base} />
      </section>
    </Dialog>
  );
}

/** Another draft of the flow on the server: whose it is, what it changes, and the choice between it and the text here. */
function OtherDialog({ draft, text, onClose }: DraftDialogProps) {
  const { other } = draft;
  if (!other) return null;
  const isEdited = draft.state !== "none";
  const act = (choose: () => Promise<void>) => async () => {
    onClose();
    await choose();
  };
  return (
    <Dialog
      title={words.title}
      onClose={onClose}
      wide
      actions={
        <>
          <Button kind={isEdited ? "danger" : "plain"} scope="author" onClick={act(draft.keepMine)}>
            {isEdited ? words.keepMine : words.startAnew}
          </Button>
          <Button kind="primary" onClick={act(draft.takeOther)}>
            {words.take}
          </Button>
        </>
      }
    >
      <p class="foreign">
        {words.savedBy(other.updated_by)} <Time at={other.updated_at} relative />
      </p>
      <section aria-label={words.theirs}>
        <h3>{words.theirs}</h3>
        <TextDifferences text={other.text} base={other.base ?? draft.base} />
      </section>
      {isEdited && (
        <section aria-label={words.mine}>
          <h3>{words.mine}</h3>
          <TextDifferences text={text} base={draft.base} />
        </section>
      )}
      <p class="muted">{words.hint}</p>
    </Dialog>
  );
}
