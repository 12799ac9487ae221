import { parse } from "../json/json";
import { texts } from "../texts";
import { Field } from "../ui/Field";

interface JsonFieldProps {
  label: string;
  hint?: string;
  value: string;
  onChange: (text: string) => void;
  rows?: number;
}

/** A field for a JSON value, which says where it is wrong. */
export function JsonField({ label, hint, value, onChange, rows = 12 }: JsonFieldProps) {
  const error = errorIn(value);
  return (
    <Field
      label={label}
      hint={hint}
      problem={error === null ? undefined : texts.executions.dialogs.notJson(error)}
    >
      <textarea
        rows={rows}
        spellcheck={false}
        value={value}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </Field>
  );
}

/** The line and the column of the first error in a text of JSON; null if there is none. */
export function errorIn(text: string): string | null {
  try {
    parse(text);
    return null;
  } catch (error) {
    return (error as SyntaxError).message;
  }
}
