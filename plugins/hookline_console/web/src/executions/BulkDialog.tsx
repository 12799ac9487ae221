import "./bulk.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, body } from "../api/client";
import { texts } from "../texts";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { formatNumber, shortId } from "../ui/format";
import { describeProblem } from "../ui/problems";
import { BEGUN, type Operation, type Progress, runEach, runPages } from "./bulk";
import { errorIn, JsonField } from "./JsonField";
import type { ListQuery } from "./query";

/** Executions that are named, or all that a filter selects. `total`: their number, if it is known. */
export type Target = { ids: readonly string[] } | { filter: ListQuery; total?: number };

interface BulkDialogProps {
  operation: Operation;
  target: Target;
  /** Called when it is closed, after whatever was done. */
  onClose: () => void;
}

const PAGE = 100;
/** Rejections that are listed. */
const LISTED = 100;

/** Retry, replay, cancel or discard many executions: a question, then the progress, then the result. */
export function BulkDialog({ operation, target, onClose }: BulkDialogProps) {
  const words = texts.executions.bulk;
  const [progress, setProgress] = useState<Progress | null>(null);
  const [reason, setReason] = useState("");
  const [patch, setPatch] = useState("");
  const [version, setVersion] = useState<"current" | "same">("current");
  const controller = useRef(new AbortController());
  useEffect(() => () => controller.current.abort(), []);
  const total = "ids" in target ? target.ids.length : target.total;

  const more = () => ({
    ...(operation === "discard" && reason ? { reason } : {}),
    ...(operation === "replay" ? { version } : {}),
  });
  /** JSON of a request; the patch is sent as it was written, with all digits of its numbers. */
  const written = (given: object) => {
    const text = JSON.stringify(given);
    if (operation !== "replay" || patch.trim() === "") return text;
    return `${text.slice(0, -1)}${text === "{}" ? "" : ", "}"merge": ${patch}}`;
  };
  const start = () => {
    const running = { tell: setProgress, signal: controller.current.signal };
    setProgress(BEGUN);
    if ("ids" in target) return runEach(target.ids, (id) => doOne(operation, id, more(), written), running);
    // Executions that are accepted meanwhile are left out.
    const filter = { until: new Date().toISOString(), ...target.filter };
    return runPages(
      (cursor) =>
        body(
          api.POST("/api/v1/executions/many", {
            body: { do: operation, ...filter, ...more(), cursor, limit: PAGE },
            bodySerializer: written,
            headers: { "Content-Type": "application/json" },
          }),
        ),
      running,
    );
  };
  if (progress === null) {
    const wrong = patch.trim() !== "" && errorIn(patch) !== null;
    return (
      <Dialog
        title={words.title[operation](total === undefined ? null : formatNumber(total))}
        onClose={onClose}
        actions={
          <Button
            kind={operation === "cancel" || operation === "discard" ? "danger" : "primary"}
            scope="operate"
            disabled={wrong}
            onClick={() => {
              start();
            }}
          >
            {words.action[operation]}
          </Button>
        }
      >
        <p>{words.explanation[operation]}</p>
        {operation === "discard" && (
          <Field
            label={texts.executions.dialogs.discard.reason}
            hint={texts.executions.dialogs.discard.reasonHint}
          >
            <input maxLength={500} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
          </Field>
        )}
        {operation === "replay" && (
          <>
            <Field label={texts.executions.dialogs.replay.version}>
              <select
                value={version}
                onChange={(event) => setVersion(event.currentTarget.value === "same" ? "same" : "current")}
              >
                <option value="current">{texts.executions.dialogs.replay.current}</option>
                <option value="same">{words.sameVersion}</option>
              </select>
            </Field>
            <PatchField value={patch} onChange={setPatch} />
          </>
        )}
      </Dialog>
    );
  }
  const all = progress.done + progress.rejected.length;
  return (
    <Dialog
      title={words.states[progress.state](words.action[operation])}
      onClose={onClose}
      actions={
        progress.state === "running" && (
          <Button onClick={() => controller.current.abort()}>{words.stop}</Button>
        )
      }
    >
      <progress
        class="bulk-progress"
        aria-label={words.progress}
        max={total ?? 1}
        {...shownPart(progress, all, total)}
      />
      <p role="status">
        {words.counts[operation](formatNumber(progress.done))}
        {total !== undefined && ` ${words.of(formatNumber(total))}`}
        {progress.rejected.length > 0 && `, ${words.rejected(formatNumber(progress.rejected.length))}`}
      </p>
      {progress.state === "failed" && (
        <p class="field-problem foreign" role="alert">
          {describeProblem(progress.error).detail}
        </p>
      )}
      {progress.rejected.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        <ul class="bulk-rejected" tabIndex={0}>
          {progress.rejected.slice(0, LISTED).map((one) => (
            <li key={one.id}>
              <a href={`/executions/${one.id}`}>{shortId(one.id)}</a>{" "}
              <span class="foreign">{one.message}</span>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}

/** The part that is done; none while it runs and the number of all isn't known. */
function shownPart(progress: Progress, all: number, total: number | undefined): { value?: number } {
  if (total !== undefined) return { value: Math.min(all, total) };
  return progress.state === "running" ? {} : { value: 1 };
}

function PatchField({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const words = texts.executions.bulk;
  if (value.trim() === "")
    return (
      <Field label={words.patch} hint={words.patchHint}>
        <textarea
          rows={3}
          spellcheck={false}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      </Field>
    );
  return <JsonField label={words.patch} hint={words.patchHint} value={value} onChange={onChange} rows={3} />;
}

async function doOne(
  operation: Operation,
  id: string,
  more: { reason?: string; version?: "current" | "same" },
  written: (given: object) => string,
): Promise<void> {
  const path = { execution_id: id };
  const json = { "Content-Type": "application/json" };
  switch (operation) {
    case "retry":
      await api.POST("/api/v1/executions/{execution_id}/retry", { params: { path } });
      return;
    case "cancel":
      await api.POST("/api/v1/executions/{execution_id}/cancel", { params: { path } });
      return;
    case "discard":
      await api.POST("/api/v1/executions/{execution_id}/discard", { params: { path }, body: more });
      return;
    case "replay": {
      const query = { version: more.version ?? "current" };
      await api.POST("/api/v1/executions/{execution_id}/replay", {
        params: { path, query },
        body: {},
        bodySerializer: () => written({}),
        headers: json,
      });
    }
  }
}
