import "./editor.css";
import { useEffect, useState } from "preact/hooks";
import { BlockOverlays } from "../blocks/BlockOverlays";
import { useBlocks } from "../blocks/useBlocks";
import { CodeEditor } from "../code/CodeEditor";
import type { Editing, Snapshot } from "../code/editing";
import type { StepPlace } from "../document/steps";
import { texts } from "../texts";
import { Badge, type Tone } from "../ui/Badge";
import { Button } from "../ui/Button";
import { Page } from "../ui/Page";
import { describeProblem } from "../ui/problems";
import { showToast } from "../ui/toasts";
import { DeployDialog } from "./DeployDialog";
import { DraftDialog } from "./DraftDialog";
import type { DraftKeeper } from "./draft_keeper";
import type { DraftState } from "./draft_saver";
import type { EditingLock } from "./editing_lock";
import type { Opened } from "./opening";
import { Panes, type View } from "./Panes";
import { RenameDialog } from "./RenameDialog";
import { useActs } from "./useActs";
import { useDraft } from "./useDraft";
import { useLowerPanels } from "./useLowerPanels";

const words = texts.editor;

const TONES: Readonly<Record<DraftState, Tone>> = {
  none: "info",
  saving: "info",
  saved: "info",
  local: "warn",
  fields: "warn",
  failed: "bad",
};

/** The editor of a flow that has been opened, and all that stands around it. */
export function Workbench({ opened, lock }: { opened: Opened; lock: EditingLock }) {
  const [editing, setEditing] = useState<Editing | null>(null);
  const [snapshot, setSnapshot] = useState<Snapshot | null>(null);
  const [renaming, setRenaming] = useState<StepPlace | null>(null);
  const [deploying, setDeploying] = useState(false);
  const [isPutOff, setPutOff] = useState(false);
  const isElsewhere = !lock.isHeld;
  const draft = useDraft(opened, editing);
  useEffect(() => {
    lock.beforeGiving = draft.giveUp;
  }, [lock, draft]);
  // A draft that somebody saves meanwhile has to be seen, too.
  useEffect(() => setPutOff(false), [draft.other?.version]);
  const definitions = opened.schema.$defs ?? {};
  const [view, setView] = useState<View>("text");
  const [editTurn, setEditTurn] = useState(0);
  const blocks = useBlocks(editing, definitions, () => {
    setView("form");
    setEditTurn((turn) => turn + 1);
  });
  const openMenu = () => {
    const at = editing?.view.coordsAtPos(editing.view.state.selection.main.head);
    if (at) blocks.openMenu({ x: at.left, y: at.bottom });
  };
  const acts = useActs(editing, setRenaming, draft.save, openMenu);
  const begin = (begun: Editing) => {
    setEditing(begun);
    setSnapshot(begun.snapshot);
    begun.watch(setSnapshot);
    const [field] = opened.fields.keys();
    if (field === undefined) return;
    // What was typed into the form before is seen again.
    begun.reveal(field);
    setView("form");
  };
  const { flowId } = opened;
  const isNew = draft.base === null;
  const panels = useLowerPanels(flowId, !isNew, editing);
  return (
    <Page
      title={words.title(flowId)}
      parent={
        isNew
          ? { title: texts.pages.flows, href: "/flows" }
          : { title: flowId, href: `/flows/${encodeURIComponent(flowId)}` }
      }
      beside={isElsewhere ? <Badge tone="warn">{words.elsewhere.badge}</Badge> : <DraftBadge draft={draft} />}
      actions={
        isElsewhere ? (
          <Button kind="primary" scope="author" onClick={lock.take}>
            {words.elsewhere.take}
          </Button>
        ) : (
          <Actions
            acts={acts}
            draft={draft}
            onDeploy={() => {
              // The server couldn't name the place of an error, since the text is only a part of what is sent.
              if (editing?.document.broken) showToast(words.notJson, "bad");
              else setDeploying(true);
            }}
            onChoose={() => setPutOff(false)}
          />
        )
      }
    >
      <Panes
        editing={editing}
        snapshot={snapshot}
        schema={opened.schema}
        blocks={blocks}
        panels={panels}
        view={view}
        onView={setView}
        editTurn={editTurn}
      >
        <CodeEditor
          flowId={flowId}
          text={opened.text}
          language={opened.language}
          orders={opened.orders}
          commands={acts.commands}
          readOnly={!opened.mayWrite}
          onBegin={begin}
        />
      </Panes>
      {editing && <BlockOverlays editing={editing} blocks={blocks} definitions={definitions} />}
      {renaming && editing && (
        <RenameDialog step={renaming} editing={editing} onClose={() => setRenaming(null)} />
      )}
      {(draft.other || draft.isGone) && editing && !isPutOff && (
        <DraftDialog draft={draft} text={editing.document.text} onClose={() => setPutOff(true)} />
      )}
      {deploying && editing && (
        <DeployDialog
          flowId={flowId}
          editing={editing}
          draft={draft}
          onDeployed={panels.message.messages.reload}
          onBacktest={() => {
            setDeploying(false);
            panels.open("backtest");
          }}
          onClose={() => setDeploying(false)}
        />
      )}
    </Page>
  );
}

/** How the draft is kept, and why not better. */
function DraftBadge({ draft }: { draft: DraftKeeper }) {
  const { state, problem } = draft;
  const isShown = problem !== undefined && (state === "local" || state === "failed");
  return (
    <>
      <Badge tone={TONES[state]}>{words.draft[state]}</Badge>
      {isShown && <span class="muted foreign">{describeProblem(problem).detail}</span>}
    </>
  );
}

interface ActionsProps {
  acts: ReturnType<typeof useActs>;
  draft: DraftKeeper;
  onDeploy: () => void;
  /** Look at the other draft. */
  onChoose: () => void;
}

function Actions({ acts, draft, onDeploy, onChoose }: ActionsProps) {
  return (
    <>
      {(draft.other || draft.isGone) && (
        <Button kind="quiet" onClick={onChoose}>
          {draft.isGone ? words.otherDraft.gone.button : words.otherDraft.button}
        </Button>
      )}
      {draft.state !== "none" && (
        <Button kind="quiet" onClick={draft.discard}>
          {words.discard}
        </Button>
      )}
      <Button scope="author" onClick={acts.format}>
        {words.format}
      </Button>
      <Button scope="author" onClick={acts.rename}>
        {words.rename.button}
      </Button>
      <Button kind="primary" scope="author" onClick={onDeploy}>
        {words.deploy.button}
      </Button>
    </>
  );
}
