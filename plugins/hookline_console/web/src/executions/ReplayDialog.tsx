import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body } from "../api/client";
import { useResource } from "../api/resource";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { short } from "../ui/format";
import { Failed } from "../ui/Notices";
import { showToast } from "../ui/toasts";
import type { Definition } from "./definition";
import type { DialogProps } from "./dialogs";
import { errorIn, JsonField } from "./JsonField";
import { recordedBody, textToSend } from "./replayed_body";

/** What the API shows in place of a secret, or of a value that the flow redacts. */
const MASK = "***";

/** Start an execution again as a new one, from its beginning or from a step, optionally with another body. */
export function ReplayDialog({
  execution,
  from,
  definitions,
  onClose,
}: DialogProps & { from: string; definitions: ReadonlyMap<string, Definition> | undefined }) {
  const words = texts.executions.dialogs.replay;
  const { route } = useLocation();
  const [step, setStep] = useState(from);
  const [version, setVersion] = useState<"current" | "same">("current");
  const [edits, setEdits] = useState(false);
  // What somebody has written is replaced only if they ask for it.
  const [written, setWritten] = useState<string | null>(null);
  const recorded = useResource(
    async (signal) => (edits ? recordedBody(execution, step, definitions, signal) : undefined),
    [execution.id, edits, step, definitions === undefined],
  );
  const text = textToSend(written, recorded);
  const note = recorded.value === null ? words.unknownBody : "";

  const replay = async () => {
    const query = { version, ...(step === "" ? {} : { from: step }) };
    const params = { path: { execution_id: execution.id }, query };
    const made = await body(
      api.POST("/api/v1/executions/{execution_id}/replay", {
        params,
        body: {},
        // The body is sent as it was written, with all digits of its numbers.
        bodySerializer: () => (edits && text !== null ? `{"body": ${text}}` : "{}"),
        headers: { "Content-Type": "application/json" },
      }),
    );
    route(`/executions/${made.execution_id}`);
    showToast(words.done);
  };
  const unusable = edits && (text === null || errorIn(text) !== null);
  return (
    <ActionDialog
      title={words.title}
      wide={edits}
      onClose={onClose}
      action={words.action}
      scope="operate"
      onAction={replay}
      disabled={unusable}
    >
      <p>{words.explanation}</p>
      <Field label={words.from}>
        <select value={step} onChange={(event) => setStep(event.currentTarget.value)}>
          <option value="">{words.fromStart}</option>
          {execution.steps.map((one) => (
            <option key={one.path} value={one.path}>
              {one.path}
            </option>
          ))}
        </select>
      </Field>
      <Field label={words.version} hint={words.versionHint}>
        <select
          value={version}
          onChange={(event) => setVersion(event.currentTarget.value === "same" ? "same" : "current")}
        >
          <option value="current">{words.current}</option>
          <option value="same">{words.same(short(execution.flow_version ?? ""))}</option>
        </select>
      </Field>
      <label class="cluster">
        <input type="checkbox" checked={edits} onChange={(event) => setEdits(event.currentTarget.checked)} />
        {words.edit}
      </label>
      {edits && text !== null && (
        <JsonField
          label={words.body}
          hint={text.includes(MASK) ? words.masked(MASK) : note}
          value={text}
          onChange={setWritten}
          rows={16}
        />
      )}
      {edits && written !== null && (
        <Button small onClick={() => setWritten(null)}>
          {words.loadBody}
        </Button>
      )}
      {edits && written === null && recorded.error !== undefined && (
        <>
          <Failed error={recorded.error} retry={recorded.reload} />
          <Button small onClick={() => setWritten("")}>
            {words.writeBody}
          </Button>
        </>
      )}
    </ActionDialog>
  );
}
