import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
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
  const toggle = toggleItem(flow, act);
  const further = furtherItems(flow, act, () => setOpen("stop"));
  return (
    <>
      <a class="button button-plain" href={`/flows/${encodeURIComponent(flow.id)}/edit`}>
        {texts.editor.edit}
      </a>
      <Button scope="operate" disabled={flow.state === "broken"} onClick={() => setOpen("start")}>
        {texts.flows.request.start}
      </Button>
      <Button
        scope="operate"
        kind={flow.state === "active" ? "plain" : "primary"}
        disabled={flow.state === "broken"}
        onClick={toggle.onSelect}
      >
        {toggle.label}
      </Button>
      {further.length > 0 && flow.state !== "broken" && (
        <Menu label={words.label} items={further}>
          ⋯
        </Menu>
      )}
      {open === "start" && <Start flow={flow} onClose={() => setOpen(null)} />}
      {open === "stop" && (
        <ConfirmStop flow={flow} onConfirm={() => act("stop")} onClose={() => setOpen(null)} />
      )}
    </>
  );
}

/** Pause a flow, or let it go on. */
export function toggleItem(flow: FlowView, act: (action: Action) => unknown): MenuItem {
  return flow.state === "active"
    ? { label: words.pause, scope: "operate", onSelect: () => act("pause") }
    : { label: words.resume, scope: "operate", onSelect: () => act("resume") };
}

/** The further changes of a flow's state. */
export function furtherItems(
  flow: FlowView,
  act: (action: Action) => unknown,
  askStop: () => void,
): readonly MenuItem[] {
  const stop: MenuItem = { label: words.stop, scope: "operate", danger: true, onSelect: askStop };
  const reset: MenuItem = { label: words.reset, scope: "operate", onSelect: () => act("reset") };
  return [...(flow.state === "stopped" ? [] : [stop]), ...(flow.override ? [reset] : [])];
}

interface ConfirmStopProps {
  flow: FlowView;
  onConfirm: () => unknown;
  onClose: () => void;
}

export function ConfirmStop({ flow, onConfirm, onClose }: ConfirmStopProps) {
  return (
    <ActionDialog
      title={words.confirmStop.title(flow.id)}
      action={words.stop}
      kind="danger"
      onAction={onConfirm}
      onClose={onClose}
    >
      <p>{words.confirmStop.detail}</p>
    </ActionDialog>
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
      return false;
    }
    const params = { path: { flow_id: flow.id } };
    // The text is sent as it is, since JavaScript can't hold all numbers.
    const serialized = { body: { body: message }, bodySerializer: () => `{"body":${text}}` };
    const started = await body(api.POST("/api/v1/flows/{flow_id}/start", { params, ...serialized }));
    showToast(started.status === "duplicate" ? texts.flows.request.duplicate : texts.flows.request.started);
    route(`/executions/${started.execution_id}`);
  };
  return (
    <ActionDialog
      title={texts.flows.request.startTitle(flow.id)}
      onClose={onClose}
      action={texts.flows.request.start}
      scope="operate"
      onAction={start}
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
    </ActionDialog>
  );
}
