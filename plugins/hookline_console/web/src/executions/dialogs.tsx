/** The dialogs of the small operations on one execution. */

import { useState } from "preact/hooks";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { short } from "../ui/format";
import { Loaded } from "../ui/Notices";
import { showToast } from "../ui/toasts";
import { errorIn, JsonField } from "./JsonField";

export interface DialogProps {
  execution: Schemas["ExecutionView"];
  onClose: () => void;
}

/** Send a callback to a waiting step, in place of the other side. */
export function AnswerDialog({ execution, wait, onClose }: DialogProps & { wait: Schemas["WaitView"] }) {
  const words = texts.executions.dialogs.answer;
  const [text, setText] = useState('{\n  "approved": true\n}');
  const answer = async () => {
    await api.POST("/api/v1/executions/{execution_id}/resume", {
      params: { path: { execution_id: execution.id } },
      body: { step: wait.path },
      bodySerializer: (given) => `{"step": ${JSON.stringify(given.step)}, "body": ${text}}`,
      headers: { "Content-Type": "application/json" },
    });
    showToast(words.done);
  };
  return (
    <ActionDialog
      title={words.title(wait.step)}
      onClose={onClose}
      action={words.action}
      scope="operate"
      onAction={answer}
      disabled={errorIn(text) !== null}
    >
      <p>{words.explanation}</p>
      <JsonField label={words.body} value={text} onChange={setText} rows={8} />
    </ActionDialog>
  );
}

/** Remove a failed execution from the dead letters, with a reason. */
export function DiscardDialog({ execution, onClose }: DialogProps) {
  const words = texts.executions.dialogs.discard;
  const [reason, setReason] = useState("");
  const discard = async () => {
    await api.POST("/api/v1/executions/{execution_id}/discard", {
      params: { path: { execution_id: execution.id } },
      body: { reason },
    });
    showToast(words.done);
  };
  return (
    <ActionDialog
      title={words.title}
      onClose={onClose}
      action={words.action}
      kind="danger"
      scope="operate"
      onAction={discard}
    >
      <p>{words.explanation}</p>
      <Field label={words.reason} hint={words.reasonHint}>
        <input maxLength={500} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </Field>
    </ActionDialog>
  );
}

/** Bind a waiting execution to another version of its flow. */
export function MoveDialog({ execution, onClose }: DialogProps) {
  const words = texts.executions.dialogs.move;
  const [to, setTo] = useState("current");
  const versions = useResource(
    async (signal) =>
      body(
        api.GET("/api/v1/flows/{flow_id}/versions", {
          params: { path: { flow_id: execution.flow_id } },
          signal,
        }),
      ),
    [execution.flow_id],
  );
  const move = async () => {
    await api.POST("/api/v1/executions/{execution_id}/move", {
      params: { path: { execution_id: execution.id } },
      body: { to },
    });
    showToast(words.done);
  };
  return (
    <ActionDialog title={words.title} onClose={onClose} action={words.action} scope="operate" onAction={move}>
      <p>{words.explanation}</p>
      <Loaded resource={versions} lines={1}>
        {(page) => (
          <Field label={words.version}>
            <select value={to} onChange={(event) => setTo(event.currentTarget.value)}>
              <option value="current">{words.current}</option>
              {page.items
                .filter((one) => one.version !== execution.flow_version)
                .map((one) => (
                  <option key={one.version} value={one.version}>
                    {short(one.version)}
                  </option>
                ))}
            </select>
          </Field>
        )}
      </Loaded>
    </ActionDialog>
  );
}
