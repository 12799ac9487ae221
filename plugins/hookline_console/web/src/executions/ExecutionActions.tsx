import { useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, type Schemas } from "../api/client";
import { editorUrl } from "../editor/editor_url";
import { useCommands } from "../shell/commands";
import { useAllows } from "../shell/SessionContext";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Menu } from "../ui/Menu";
import { showToast } from "../ui/toasts";
import { CaseDialog } from "./CaseDialog";
import type { Definition } from "./definition";
import { DiscardDialog, MoveDialog } from "./dialogs";
import { hasEnded } from "./further_steps";
import { ReplayDialog } from "./ReplayDialog";

/** The messages of the lab are only for authors. */
function LabLink({ href }: { href: string }) {
  const label = texts.executions.actions.openLab;
  return useAllows("author") ? (
    <a class="button" href={href}>
      {label}
    </a>
  ) : (
    <Button scope="author">{label}</Button>
  );
}

interface ExecutionActionsProps {
  execution: Schemas["ExecutionView"];
  definitions: ReadonlyMap<string, Definition> | undefined;
  reload: () => void;
}

/** What can be done with an execution in its state. */
export function ExecutionActions({ execution, definitions, reload }: ExecutionActionsProps) {
  const words = texts.executions.actions;
  const { query } = useLocation();
  const [dialog, setDialog] = useState<"replay" | "cancel" | "discard" | "move" | "case" | null>(null);
  const ended = hasEnded(execution);
  const failed = execution.state === "failed";
  const params = { path: { execution_id: execution.id } };
  const close = () => {
    setDialog(null);
    reload();
  };
  const retry = async () => {
    await api.POST("/api/v1/executions/{execution_id}/retry", { params });
    showToast(words.retried);
    reload();
  };
  const release = async () => {
    await api.POST("/api/v1/executions/{execution_id}/release", { params });
    showToast(words.released);
    reload();
  };
  const more = [
    ...(ended
      ? [{ label: words.saveCase, scope: "author" as const, onSelect: () => setDialog("case") }]
      : []),
    ...(failed && !execution.discarded_at
      ? [{ label: words.discard, scope: "operate" as const, onSelect: () => setDialog("discard") }]
      : []),
    ...(failed ? [{ label: words.release, scope: "operate" as const, onSelect: release }] : []),
    ...(execution.state === "waiting"
      ? [{ label: words.move, scope: "operate" as const, onSelect: () => setDialog("move") }]
      : []),
  ];
  useCommands(
    useMemo(
      () => [
        ...(failed ? [{ id: "retry", title: words.retry, run: retry }] : []),
        { id: "replay", title: words.replay, run: () => setDialog("replay") },
        ...(ended ? [] : [{ id: "cancel", title: words.cancel, run: () => setDialog("cancel") }]),
        ...more.map((item) => ({ id: item.label, title: item.label, run: item.onSelect })),
      ],
      [execution.id, execution.state, execution.discarded_at],
    ),
  );
  const step = query.step ?? execution.error?.step ?? "";
  const lab = { tab: "lab", execution: execution.id, ...(step && { step }) };
  return (
    <>
      {ended && execution.started_at && <LabLink href={editorUrl(execution.flow_id, lab)} />}
      {failed && (
        <Button kind="primary" scope="operate" onClick={retry}>
          {words.retry}
        </Button>
      )}
      <Button scope="operate" onClick={() => setDialog("replay")}>
        {query.step ? words.replayFrom : words.replay}
      </Button>
      {!ended && (
        <Button kind="danger" scope="operate" onClick={() => setDialog("cancel")}>
          {words.cancel}
        </Button>
      )}
      {more.length > 0 && (
        <Menu label={words.more} items={more}>
          ···
        </Menu>
      )}
      {dialog === "replay" && (
        <ReplayDialog
          execution={execution}
          from={query.step ?? ""}
          definitions={definitions}
          onClose={close}
        />
      )}
      {dialog === "discard" && <DiscardDialog execution={execution} onClose={close} />}
      {dialog === "move" && <MoveDialog execution={execution} onClose={close} />}
      {dialog === "case" && <CaseDialog execution={execution} onClose={close} />}
      {dialog === "cancel" && (
        <ActionDialog
          title={words.cancelTitle}
          action={words.cancelAction}
          kind="danger"
          onAction={() => api.POST("/api/v1/executions/{execution_id}/cancel", { params })}
          onClose={close}
        >
          <p>{words.cancelExplanation}</p>
        </ActionDialog>
      )}
    </>
  );
}
