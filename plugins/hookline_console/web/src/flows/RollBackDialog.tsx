import { useState } from "preact/hooks";
import { texts } from "../texts";
import { ActionDialog } from "../ui/Dialog";
import { short } from "../ui/format";
import { openDialog } from "../ui/OpenedDialog";
import { showToast } from "../ui/toasts";
import { tellPending } from "./FlowActions";
import { type Decisions, type Question, rollBack } from "./rollback";

const words = texts.flows.versions;

interface RollBackDialogProps {
  flowId: string;
  version: string;
  onDone: () => void;
  onClose: () => void;
}

/** Serve an earlier version of a flow again, once whatever that means has been decided. */
export function RollBackDialog({ flowId, version, onDone, onClose }: RollBackDialogProps) {
  const [questions, setQuestions] = useState<readonly Question[]>([]);
  const [decided, setDecided] = useState<Decisions>({});
  const confirm = async () => {
    const done = await rollBack(flowId, version, decided);
    if ("decision" in done) {
      setQuestions([...questions, done]);
      setDecided({ ...decided, [done.decision]: false });
      return false;
    }
    showToast(words.rolledBack(short(done.version)));
    tellPending(done.pending);
    onDone();
  };
  return (
    <ActionDialog
      title={words.rollBackTitle(short(version))}
      onClose={onClose}
      action={words.rollBack}
      scope="author"
      onAction={confirm}
      disabled={decided.force === false}
    >
      <p>{words.rollBackDetail}</p>
      {questions.map(({ decision, detail }) => (
        <div key={decision}>
          <p class="foreign" role="alert">
            {detail}
          </p>
          <label class="cluster">
            <input
              type="checkbox"
              checked={decided[decision] ?? false}
              onChange={(event) => setDecided({ ...decided, [decision]: event.currentTarget.checked })}
            />
            {words[decision]}
          </label>
        </div>
      ))}
    </ActionDialog>
  );
}

/** Ask whether an earlier version shall serve again. Resolves once it does; never if the dialog is closed before. */
export function askRollBack(flowId: string, version: string): Promise<void> {
  return new Promise((resolve) => {
    openDialog((close) => (
      <RollBackDialog flowId={flowId} version={version} onDone={resolve} onClose={close} />
    ));
  });
}
