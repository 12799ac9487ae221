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

/** A field for a JSON value, which says where a mistake is. */
export function JsonField({ label, hint, value, onChange, rows = 12 }: JsonFieldProps) {
  const mistake = mistakeIn(value);
  return (
    <Field
      label={label}
      hint={hint}
      problem={mistake === null ? undefined : texts.executions.dialogs.notJson(mistake)}
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

/** The line and the column of the first mistake in a text of JSON; null if there is none. */
export function mistakeIn(text: string): string | null {
  try {
    parse(text);
    return null;
  } catch (error) {
    return (error as SyntaxError).message;
  }
}
