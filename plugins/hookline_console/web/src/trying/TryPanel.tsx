import "./trying.css";
import { useMemo, useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import { ErrorBox } from "../executions/StepDetails";
import { openBlocks, timeline } from "../executions/timeline";
import { Waterfall } from "../executions/Waterfall";
import { MessageChooser } from "../lab/MessageChooser";
import type { Message } from "../lab/useMessage";
import { texts } from "../texts";
import { StateBadge } from "../ui/Badge";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Empty } from "../ui/Notices";
import { SaveCaseDialog } from "./SaveCaseDialog";
import { TriedStep } from "./TriedStep";
import { recordedOf, stateOf, type TriedRun } from "./tried_run";
import { isReady, type Trying } from "./useTrying";

const words = texts.trying;

interface TryPanelProps {
  flowId: string;
  exists: boolean;
  editing: Editing;
  message: Message;
  trying: Trying;
  /** Called once a run was saved as a case. */
  onSaved: () => void;
}

/** Runs the text on a message, as a whole or step by step, and shows what came of it. */
export function TryPanel({ flowId, exists, editing, message, trying, onSaved }: TryPanelProps) {
  const [saving, setSaving] = useState(false);
  const [asking, setAsking] = useState<(() => Promise<void>) | null>(null);
  const { tried } = trying;
  const ready = isReady(message.given.value);
  // Each run with real effects is confirmed.
  const act = (run: () => Promise<void>) => () => (trying.effects === "real" ? setAsking(() => run) : run());
  return (
    <div class="lab">
      <div class="lab-bar">
        <MessageChooser message={message} />
        <EffectsChoice trying={trying} />
        <span class="cluster">
          <Button kind="primary" small scope="author" disabled={!ready} onClick={act(trying.run)}>
            {words.run}
          </Button>
          <Button
            small
            scope="author"
            disabled={!ready || trying.next === undefined}
            onClick={act(trying.next ?? trying.run)}
          >
            {words.next}
          </Button>
          {tried && tried.until === null && (
            <Button small scope="author" disabled={!exists} onClick={() => setSaving(true)}>
              {words.save.button}
            </Button>
          )}
          {!exists && <span class="muted">{words.save.notYet}</span>}
        </span>
        {trying.obstacle && <span class="muted">{words.obstacles[trying.obstacle]}</span>}
        {tried && <Outcome tried={tried} isOld={tried.text !== editing.document.text} />}
      </div>
      <Pins message={message} />
      {tried ? <Ran tried={tried} trying={trying} message={message} /> : <Empty title={words.hint} />}
      {asking && (
        <ActionDialog
          title={words.real.title}
          action={words.real.action}
          kind="danger"
          scope="author"
          onAction={asking}
          onClose={() => setAsking(null)}
        >
          <p>{words.real.detail}</p>
        </ActionDialog>
      )}
      {saving && tried && (
        <SaveCaseDialog
          flowId={flowId}
          tried={tried}
          message={message}
          onSaved={onSaved}
          onClose={() => setSaving(false)}
        />
      )}
    </div>
  );
}

function EffectsChoice({ trying }: { trying: Trying }) {
  return (
    <fieldset class="try-effects">
      <legend class="sr-only">{words.effects.label}</legend>
      {(["stubbed", "real"] as const).map((effects) => (
        <label key={effects} title={words.effects.hints[effects]}>
          <input
            type="radio"
            name="effects"
            checked={trying.effects === effects}
            onChange={() => trying.setEffects(effects)}
          />
          {words.effects[effects]}
        </label>
      ))}
    </fieldset>
  );
}

function Outcome({ tried, isOld }: { tried: TriedRun; isOld: boolean }) {
  const { view } = tried;
  return (
    <span class="cluster" role="status">
      {tried.until === null ? <StateBadge state={stateOf(view)} /> : <span>{words.stopped}</span>}
      {view.reason && <span class="muted foreign">{view.reason}</span>}
      {view.without_stub.length > 0 && (
        <span class="muted foreign">{words.withoutStub(view.without_stub.join(", "))}</span>
      )}
      {isOld && <span class="muted">{words.old}</span>}
    </span>
  );
}

/** The results that are pinned. */
function Pins({ message }: { message: Message }) {
  if (message.pins.size === 0) return null;
  return (
    <ul class="try-pins" aria-label={words.pins}>
      {[...message.pins.keys()].map((path) => (
        <li key={path}>
          <code class="foreign">{path}</code>
          <Button small kind="quiet" label={words.unpin(path)} onClick={() => message.pin(path, null)}>
            ×
          </Button>
        </li>
      ))}
    </ul>
  );
}

/** The waterfall of a run, and the step that is chosen in it. */
function Ran({ tried, trying, message }: { tried: TriedRun; trying: Trying; message: Message }) {
  const { view } = tried;
  const [changed, setChanged] = useState<ReadonlyMap<string, boolean>>(new Map());
  const recorded = useMemo(() => recordedOf(view), [view]);
  const open = useMemo(() => {
    const found = openBlocks(recorded.steps);
    for (const [block, isOpen] of changed) {
      if (isOpen) found.add(block);
      else found.delete(block);
    }
    return found;
  }, [recorded, changed]);
  const laid = useMemo(() => timeline(recorded, open, 0), [recorded, open]);
  const step = view.steps.find(({ path }) => path === trying.chosen);
  return (
    <div class="lab-bench">
      <div class="try-fall">
        {view.error && <ErrorBox error={view.error} />}
        <Waterfall
          timeline={laid}
          chosen={trying.chosen}
          onChoose={trying.choose}
          onToggle={(block) => setChanged(new Map(changed).set(block, !open.has(block)))}
          more={undefined}
        />
      </div>
      <div class="try-step">
        {step ? (
          <TriedStep key={step.path} tried={tried} step={step} message={message} />
        ) : (
          <Empty title={words.chooseStep} />
        )}
      </div>
    </div>
  );
}
