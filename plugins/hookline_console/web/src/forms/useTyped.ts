import type { TargetedInputEvent, TargetedKeyboardEvent } from "preact";
import { useState } from "preact/hooks";
import type { Editing, FieldText } from "../code/editing";
import { useForm } from "./FormContext";

/** The text that is kept for a field, unless the document has another value since. */
function keptText({ fieldTexts }: Editing, field: string, shown: string): FieldText | null {
  const kept = fieldTexts.get(field);
  return kept?.shown === shown ? kept : null;
}

/** Marks a control whose text isn't in the document, so that undoing there is the browser's. */
const marked = (own: FieldText | null) => ({ "data-own": own ? "" : undefined });

/**
 * A text that is being typed, of a value that is shown as a text. While what is typed can't be written, it is kept for
 * the field, until the document has another value.
 *
 * `write` returns how the written value is shown; null if it can't be written.
 */
export function useTyped(field: string, shown: string, write: (text: string) => string | null) {
  const { editing } = useForm();
  const [written, setWritten] = useState<FieldText | null>(null);
  const unwritten = keptText(editing, field, shown);
  const type = (text: string) => {
    const made = write(text);
    editing.keepFieldText(field, made === null ? { text, shown } : null);
    setWritten(made === null ? null : { text, shown: made });
  };
  const own = unwritten ?? (written?.shown === shown ? written : null);
  const mark = { ...marked(unwritten), "aria-invalid": unwritten !== null };
  return { text: own?.text ?? shown, isInvalid: unwritten !== null, type, mark };
}

/**
 * A text that is written once it is complete: when Enter is pressed, or the field is left. Until then, it is kept for the
 * field.
 *
 * `write` returns what is wrong with a text, which then stays in the field; undefined once it is written or given up.
 */
export function useComplete(field: string, shown: string, write: (text: string) => string | undefined) {
  const { editing } = useForm();
  const own = keptText(editing, field, shown);
  const complete = () => {
    const typed = keptText(editing, field, shown);
    if (!typed) return;
    const problem = write(typed.text);
    editing.keepFieldText(field, problem === undefined ? null : { ...typed, problem });
  };
  return {
    problem: own?.problem,
    control: {
      ...marked(own),
      value: own?.text ?? shown,
      onInput: ({ currentTarget: { value: text } }: TargetedInputEvent<HTMLInputElement>) =>
        editing.keepFieldText(field, text === shown ? null : { text, shown }),
      onKeyDown: ({ key }: TargetedKeyboardEvent<HTMLInputElement>) => {
        if (key === "Enter") complete();
      },
      onBlur: complete,
    },
  };
}
