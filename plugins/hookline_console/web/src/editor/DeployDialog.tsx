import { useState } from "preact/hooks";
import { type Resource, useResource } from "../api/resource";
import type { Editing } from "../code/editing";
import { stepById } from "../document/flow_document";
import { DifferenceList, Differences } from "../flows/Differences";
import { tellPending } from "../flows/FlowActions";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { short } from "../ui/format";
import { Failed, Loaded, Loading } from "../ui/Notices";
import { showToast } from "../ui/toasts";
import { casesAfter } from "./cases";
import { DeployPlan } from "./DeployPlan";
import {
  type ChangedCases,
  canDeploy,
  changesOf,
  deploy,
  isCasesConflict,
  isConflict,
  isUnanswered,
  isUnpublished,
  type Result,
  versionOf,
} from "./deployment";
import type { DraftKeeper } from "./draft_keeper";
import { loadFlow } from "./opening";
import { noChanges } from "./TextDifferences";

const words = texts.editor.deploy;

interface DeployDialogProps {
  flowId: string;
  editing: Editing;
  draft: DraftKeeper;
  /** The text serves now, and the cases may have changed with it. */
  onDeployed: () => void;
  /** Compare the text with the last executions first. */
  onBacktest: () => void;
  onClose: () => void;
}

/** What the text would change on the server, and the button that does it. Nothing is overwritten unseen. */
export function DeployDialog({ flowId, editing, draft, onDeployed, onBacktest, onClose }: DeployDialogProps) {
  const [message, setMessage] = useState("");
  const [force, setForce] = useState(false);
  const { text } = editing.document;
  const { base } = draft;
  const changes = useResource(() => changesOf(text, base), [text, base]);
  const differences = changes.value;
  const cases = useResource(
    async () => (differences ? casesAfter(flowId, differences) : null),
    [text, base, differences === undefined],
  );
  // The cases are read again, since they may have changed while the plan was looked at.
  const casesNow = async () => (differences ? casesAfter(flowId, differences) : null);
  const wanted = { flowId, text, base, message, force, cases: cases.value ?? null };
  const plan = useResource(async () => {
    try {
      return await deploy({ ...wanted, message: "" }, { dryRun: true });
    } catch (error) {
      if (isConflict(error) && (await draft.isDeployedAfterAll())) {
        showToast(words.afterAll);
        onClose();
        onDeployed();
      }
      throw error;
    }
  }, [text, base, force, wanted.cases?.text, wanted.cases?.base]);
  const conflict = isConflict(plan.error);
  const confirm = async () => {
    const fields = editing.fieldTexts;
    try {
      const done = await deploy({ ...wanted, cases: await casesNow() }, { dryRun: false });
      tell(done, () => draft.rolledBack(versionOf(base ?? "")));
      // First, since nobody needs a plan from the version that serves now.
      onClose();
      onDeployed();
      await draft.deployed(text, done.deployment?.flows[0]?.version ?? versionOf(base ?? ""), fields);
    } catch (error) {
      if (isUnanswered(error)) draft.deployedPerhaps(text, fields);
      // Nothing is deployed with cases that nobody has seen.
      if (isCasesConflict(error)) cases.reload();
      // Since the plan was made, somebody else has deployed.
      if (!isConflict(error)) throw error;
      plan.reload();
    }
  };
  if (conflict) {
    return <Conflict flowId={flowId} editing={editing} draft={draft} onClose={onClose} />;
  }
  return (
    <Dialog
      title={words.title(flowId)}
      onClose={onClose}
      wide
      actions={
        <>
          {base !== null && <Button onClick={onBacktest}>{words.backtest}</Button>}
          <Button kind="primary" scope="author" onClick={confirm} disabled={!canDeploy(plan, changes, cases)}>
            {words.action}
          </Button>
        </>
      }
    >
      {isUnpublished(plan.error) ? (
        <label class="deploy-choice foreign">
          <input
            type="checkbox"
            checked={force}
            onChange={(event) => setForce(event.currentTarget.checked)}
          />
          {plan.error.detail} {words.overwrite}
        </label>
      ) : plan.error !== undefined ? (
        <Rejected error={plan.error} retry={isCasesConflict(plan.error) ? cases.reload : plan.reload} />
      ) : plan.value ? (
        <DeployPlan result={plan.value} />
      ) : (
        <Loading lines={3} />
      )}
      <Changes base={base} changes={changes} cases={cases} />
      <Field label={words.message} hint={words.messageHint}>
        <input value={message} maxLength={500} onInput={(event) => setMessage(event.currentTarget.value)} />
      </Field>
    </Dialog>
  );
}

interface ChangesProps {
  base: string | null;
  changes: Resource<Awaited<ReturnType<typeof changesOf>>>;
  cases: Resource<ChangedCases | null>;
}

/** What the text changes in meaning, and what becomes of the flow's cases. */
function Changes({ base, changes, cases }: ChangesProps) {
  return (
    <section aria-label={words.changes}>
      <h3>{words.changes}</h3>
      <Loaded resource={changes} lines={3}>
        {(found) => <DifferenceList differences={found} none={noChanges(base)} />}
      </Loaded>
      {changes.error !== undefined && <p>{words.casesStay}</p>}
      {cases.error !== undefined && <Failed error={cases.error} retry={cases.reload} />}
      {cases.value && <p>{words.cases}</p>}
    </section>
  );
}

/** Say what serves now, and offer to go back to what served before. */
function tell(done: Result, rollBack: () => Promise<void>): void {
  const flow = done.deployment?.flows[0];
  const back = flow?.before ? { label: texts.flows.versions.rollBack, act: rollBack } : undefined;
  showToast(flow?.version ? words.done(short(flow.version)) : words.same, "ok", back);
  tellPending(done.pending);
}

/** Why it can't be deployed: the errors of the document, or of the request. */
function Rejected({ error, retry }: { error: unknown; retry: () => void }) {
  const problems = (error as { problems?: readonly { detail?: string; pointer?: string }[] }).problems ?? [];
  return (
    <>
      <Failed error={error} retry={retry} />
      <ul class="deploy-problems foreign">
        {problems.map((problem) => (
          <li key={`${problem.pointer} ${problem.detail}`}>{problem.detail}</li>
        ))}
      </ul>
    </>
  );
}

/** Somebody else has deployed: what that changed, and the choice between the two. */
function Conflict({ flowId, editing, draft, onClose }: Omit<DeployDialogProps, "onBacktest" | "onDeployed">) {
  const flow = useResource((signal) => loadFlow(flowId, signal), [flowId]);
  const tag = flow.value?.tag ?? null;
  const takeTheirs = async () => {
    onClose();
    await draft.discard();
  };
  const isKnown = flow.value !== undefined;
  return (
    <Dialog
      title={words.conflict.title}
      onClose={onClose}
      wide
      actions={
        <>
          <Button onClick={takeTheirs} disabled={tag === null}>
            {words.conflict.takeTheirs}
          </Button>
          <Button kind="danger" onClick={() => draft.rebase(tag)} disabled={!isKnown}>
            {words.conflict.keepMine}
          </Button>
        </>
      }
    >
      <p>{isKnown && tag === null ? words.conflict.deleted : words.conflict.detail}</p>
      {draft.base !== null && tag !== null && (
        <Differences
          flowId={flowId}
          version={versionOf(draft.base)}
          onStep={(id) => {
            const step = stepById(editing.document, id);
            if (step) editing.reveal(step.pointer);
            onClose();
          }}
        />
      )}
      <p class="muted">{words.conflict.hint}</p>
    </Dialog>
  );
}
