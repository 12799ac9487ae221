/** The dialogs of the operations on one execution. */

import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { api, body, type Schemas } from "../api/client";
import { useResource } from "../api/resource";
import { member, parse, print } from "../json/json";
import { texts } from "../texts";
import { saveCase } from "../trying/cases";
import { Button } from "../ui/Button";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { short } from "../ui/format";
import { Loaded } from "../ui/Notices";
import { showToast } from "../ui/toasts";
import { type Definition, givesMessage, originOf } from "./definition";
import { JsonField, mistakeIn } from "./JsonField";
import { downloadUrl } from "./values";

type Execution = Schemas["ExecutionView"];

interface DialogProps {
  execution: Execution;
  onClose: () => void;
}

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
  const unusable = edits && (text === null || mistakeIn(text) !== null);
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
  execution: Execution,
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
      disabled={mistakeIn(text) !== null}
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

/** Save an execution as a test case of its flow, as `hookline test --record` does. */
export function CaseDialog({ execution, onClose }: DialogProps) {
  const words = texts.executions.dialogs.case;
  const [name, setName] = useState(`${execution.outcome ?? execution.state} ${execution.id.slice(-8)}`);
  const params = { path: { execution_id: execution.id }, query: { name } };
  // The name is typed after the case was made, and put into it when it is saved.
  const made = useResource(
    async (signal) => {
      const { data } = await api.GET("/api/v1/executions/{execution_id}/case", {
        params,
        signal,
        parseAs: "text",
      });
      return parse(data as string);
    },
    [execution.id],
  );
  const save = async () => {
    const recorded = member(made.value, "case");
    if (recorded?.kind !== "object") return;
    const named = {
      ...recorded,
      entries: recorded.entries.map(([key, of]) =>
        key === "name" ? ([key, { kind: "string", text: name }] as const) : ([key, of] as const),
      ),
    };
    await saveCase(execution.flow_id, named);
    showToast(words.done(execution.flow_id));
  };
  return (
    <ActionDialog
      title={words.title}
      wide
      onClose={onClose}
      action={words.action}
      scope="author"
      onAction={save}
      disabled={made.value === undefined || name.trim() === ""}
    >
      <p>{words.explanation(execution.flow_id)}</p>
      <Field label={words.name}>
        <input maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </Field>
      <Loaded resource={made} lines={5}>
        {(value) => {
          const left = member(value, "left_out");
          const items = left?.kind === "array" ? left.items : [];
          return (
            <>
              {items.length > 0 && (
                <div>
                  <p>{words.leftOut}</p>
                  <ul class="dialog-list">
                    {items.map((one) => (
                      <li key={print(one)} class="foreign">
                        {one.kind === "string" ? one.text : print(one)}
                      </li>
                    ))}
                  </ul>
                </div>
              )}
              {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
              <pre class="tree-text foreign" tabIndex={0}>
                {print(member(value, "case") ?? { kind: "null" })}
              </pre>
            </>
          );
        }}
      </Loaded>
    </ActionDialog>
  );
}
