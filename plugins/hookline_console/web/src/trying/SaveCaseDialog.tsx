import { useState } from "preact/hooks";
import { type Json, parse } from "../json/json";
import { givenByCase, withStubs } from "../lab/messages";
import type { Message } from "../lab/useMessage";
import { texts } from "../texts";
import { ActionDialog } from "../ui/Dialog";
import { Field } from "../ui/Field";
import { showToast } from "../ui/toasts";
import { caseOf, caseOfExecution, freeName, runCases, saveCase } from "./cases";
import type { TriedRun } from "./tried_run";

const words = texts.trying.save;

interface SaveCaseDialogProps {
  flowId: string;
  tried: TriedRun;
  message: Message;
  onSaved: () => void;
  onClose: () => void;
}

/** Save a run as a case of the flow, under a name. */
export function SaveCaseDialog({ flowId, tried, message, onSaved, onClose }: SaveCaseDialogProps) {
  const taken = new Set(message.messages.value?.cases.keys());
  const [name, setName] = useState(() => freeName(tried.view.outcome ?? "waiting", taken));
  const isTaken = taken.has(name);
  const save = async () => {
    await saveCase(flowId, await passing(name, tried, await messageCase(tried)));
    message.messages.reload();
    showToast(words.done(name));
    onSaved();
  };
  return (
    <ActionDialog
      title={words.title}
      action={words.action}
      scope="author"
      disabled={name.trim() === "" || isTaken}
      onAction={save}
      onClose={onClose}
    >
      <p>{words.detail}</p>
      <Field label={words.name} problem={isTaken ? words.taken : undefined}>
        <input maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </Field>
    </ActionDialog>
  );
}

/** The message of a run, with the stubs that were pinned, as a case. */
async function messageCase({ choice, given, pins }: TriedRun): Promise<Json> {
  const recorded = choice?.kind === "execution" ? await caseOfExecution(choice.id, "recorded") : undefined;
  const parts = recorded ? givenByCase(recorded).parts : given.parts;
  const all = Object.entries(withStubs({ parts }, pins).parts);
  return { kind: "object", entries: all.map(([part, json]) => [part, parse(json)]) };
}

/** The case of a run that passes: without the last body if that isn't the same each time. */
async function passing(name: string, tried: TriedRun, from: Json): Promise<Json> {
  const exact = caseOf(name, from, tried, { exact: true });
  const { cases } = await runCases(tried.text, [exact]);
  return cases.every(({ passed }) => passed) ? exact : caseOf(name, from, tried, { exact: false });
}
