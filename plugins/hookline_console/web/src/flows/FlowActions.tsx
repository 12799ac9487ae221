import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Confirm, Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { Menu, type MenuItem } from "../ui/Menu";
import { showToast } from "../ui/toasts";

const words = texts.flows.actions;

type FlowView = Schemas["FlowView"];
type Action = "pause" | "resume" | "stop" | "reset";

const TOLD: Readonly<Record<Action, string>> = {
  pause: words.paused,
  resume: words.resumed,
  stop: words.stopped,
  reset: words.wasReset,
};

/** Change the state of a flow, and tell what it means. */
export async function changeState(flowId: string, action: Action): Promise<void> {
  const params = { path: { flow_id: flowId } };
  const changed = await body(api.POST(`/api/v1/flows/{flow_id}/${action}`, { params }));
  showToast(TOLD[action]);
  tellPending(changed.pending);
}

/** Tell which nodes haven't adopted a change in time. */
export function tellPending(pending: readonly string[]): void {
  if (pending.length > 0) showToast(words.pending(pending.join(", ")), "bad");
}

interface FlowActionsProps {
  flow: FlowView;
  onChange: () => void;
}

/** The buttons of a flow's page. */
export function FlowActions({ flow, onChange }: FlowActionsProps) {
  const [open, setOpen] = useState<"start" | "stop" | null>(null);
  const act = async (action: Action) => {
    await changeState(flow.id, action);
    onChange();
  };
  return (
    <>
      <Button scope="operate" disabled={flow.state === "broken"} onClick={() => setOpen("start")}>
        {texts.flows.request.start}
      </Button>
      {flow.state === "active" ? (
        <Button scope="operate" onClick={() => act("pause")}>
          {words.pause}
        </Button>
      ) : (
        <Button
          scope="operate"
          kind="primary"
          disabled={flow.state === "broken"}
          onClick={() => act("resume")}
        >
          {words.resume}
        </Button>
      )}
      <Menu label={words.label} items={[...stateItems(flow, act, () => setOpen("stop"))]}>
        ⋯
      </Menu>
      {open === "start" && <Start flow={flow} onClose={() => setOpen(null)} />}
      {open === "stop" && (
        <ConfirmStop flow={flow} onConfirm={() => act("stop")} onClose={() => setOpen(null)} />
      )}
    </>
  );
}

export function* stateItems(
  flow: FlowView,
  act: (action: Action) => unknown,
  askStop: () => void,
): Generator<MenuItem> {
  if (flow.state === "active") yield { label: words.pause, scope: "operate", onSelect: () => act("pause") };
  else yield { label: words.resume, scope: "operate", onSelect: () => act("resume") };
  if (flow.state !== "stopped")
    yield { label: words.stop, scope: "operate", danger: true, onSelect: askStop };
  if (flow.override) yield { label: words.reset, scope: "operate", onSelect: () => act("reset") };
}

interface ConfirmStopProps {
  flow: FlowView;
  onConfirm: () => unknown;
  onClose: () => void;
}

export function ConfirmStop({ flow, onConfirm, onClose }: ConfirmStopProps) {
  return (
    <Confirm
      title={words.confirmStop.title(flow.id)}
      action={words.stop}
      danger
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <p>{words.confirmStop.detail}</p>
    </Confirm>
  );
}

/** Starts a flow by hand, whatever its trigger is, and goes to the execution. */
function Start({ flow, onClose }: { flow: FlowView; onClose: () => void }) {
  const [text, setText] = useState("{}");
  const [problem, setProblem] = useState<string>();
  const { route } = useLocation();
  const start = async () => {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      setProblem(texts.flows.request.badJson);
      return;
    }
    const params = { path: { flow_id: flow.id } };
    // The text is sent as it is, since JavaScript can't hold all numbers.
    const serialized = { body: { body: message }, bodySerializer: () => `{"body":${text}}` };
    const started = await body(api.POST("/api/v1/flows/{flow_id}/start", { params, ...serialized }));
    showToast(started.status === "duplicate" ? texts.flows.request.duplicate : texts.flows.request.started);
    onClose();
    route(`/executions/${started.execution_id}`);
  };
  return (
    <Dialog
      title={texts.flows.request.startTitle(flow.id)}
      onClose={onClose}
      actions={
        <Button kind="primary" scope="operate" onClick={start}>
          {texts.flows.request.start}
        </Button>
      }
    >
      <p>{texts.flows.request.startHint}</p>
      <Field label={texts.flows.request.body} problem={problem}>
        <textarea
          rows={10}
          spellcheck={false}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setProblem(undefined);
          }}
        />
      </Field>
    </Dialog>
  );
}
