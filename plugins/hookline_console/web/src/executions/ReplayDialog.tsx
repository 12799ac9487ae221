import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { parse, print } from "../json/json";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { short } from "../ui/format";
import { showToast } from "../ui/toasts";
import { type Definition, givesMessage, originOf } from "./definition";
import type { DialogProps } from "./dialogs";
import { errorIn, JsonField } from "./JsonField";
import { downloadUrl } from "./values";

/** Characters of a body that are offered for editing; larger ones are edited with the command line. */
const EDITABLE = 500_000;

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
  const [text, setText] = useState<string | null>(null);
  const [note, setNote] = useState("");
  // What somebody has written is replaced only if they ask for it.
  const [isWritten, setIsWritten] = useState(false);

  useEffect(() => {
    if (!edits || isWritten) return;
    const controller = new AbortController();
    setText(null);
    setNote("");
    incomingBody(execution, step, definitions, controller.signal).then(
      (found) => {
        setText(found ?? "null");
        if (found === null) setNote(words.unknownBody);
      },
      (error) => {
        if (controller.signal.aborted) return;
        setText("null");
        setNote(error instanceof Error ? error.message : String(error));
      },
    );
    return () => controller.abort();
  }, [edits, step, isWritten]);

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
          onChange={(changed) => {
            setText(changed);
            setIsWritten(true);
          }}
          rows={16}
        />
      )}
      {edits && isWritten && (
        <Button small onClick={() => setIsWritten(false)}>
          {words.loadBody}
        </Button>
      )}
    </ActionDialog>
  );
}

/** The body that reached a step, as text; null if it isn't recorded. */
async function incomingBody(
  execution: Schemas["ExecutionView"],
  step: string,
  definitions: ReadonlyMap<string, Definition> | undefined,
  signal: AbortSignal,
): Promise<string | null> {
  const origin =
    step === "" || definitions === undefined
      ? "message"
      : originOf(definitions, step, givesMessage(execution.steps));
  if (origin === "item") return null;
  const url =
    origin === "message"
      ? downloadUrl({ execution: execution.id }, "/body")
      : downloadUrl({ execution: execution.id, step: origin.step }, "/output/body");
  const response = await fetch(url, { signal });
  const text = await response.text();
  if (!response.ok) throw new Error(texts.executions.dialogs.replay.noBody);
  if (text.length > EDITABLE) throw new Error(texts.executions.dialogs.replay.tooLarge);
  return print(parse(text));
}
