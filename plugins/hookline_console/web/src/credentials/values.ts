/** The fields of a credential's form, and the values that the form has. Values that are stored are never shown. */

import { type Field, fieldsOf, type Input } from "../forms/fields";
import type { Schema } from "../forms/schema";

/** The control of a field. What no control has is written as JSON. */
export type Control = "secret" | "text" | "number" | "boolean" | "choice" | "lines" | "json";

/** The fields of a schema, in its order; those that are required come first. */
export function credentialFields(schema: unknown): Field[] {
  const root = schema as Schema;
  const fields = fieldsOf(root, undefined, root.$defs ?? {}, { evaluated: false });
  return [...fields.filter((field) => field.required), ...fields.filter((field) => !field.required)];
}

/** A secret may be a list of secrets, while the old one is being replaced. The form sets one. */
export function controlOf({ inputs }: Field): Control {
  const first = inputs.find((input) => input.kind !== "null");
  switch (first?.kind) {
    case "text":
      return first.secret ? "secret" : "text";
    case "list":
      return first.items.type === "string" || first.items.format ? "lines" : "json";
    case "number":
    case "boolean":
    case "choice":
      return first.kind;
    default:
      return "json";
  }
}

/** The texts among which one is chosen. */
export function choicesOf({ inputs }: Field): string[] {
  const choice = inputs.find((input): input is Input & { kind: "choice" } => input.kind === "choice");
  return choice?.options.map(({ value }) => String(value)) ?? ["true", "false"];
}

/** The values of a form as the API takes them. What is left empty isn't sent. Throws SyntaxError for bad JSON. */
export function valuesOf(
  fields: readonly Field[],
  form: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const field of fields) {
    const text = form.get(field.name) ?? "";
    if (text === "") continue;
    values[field.name] = readValue(controlOf(field), text);
  }
  return values;
}

function readValue(control: Control, text: string): unknown {
  switch (control) {
    case "number":
      return Number(text);
    case "boolean":
      return text === "true";
    case "lines":
      return text.split("\n").filter((line) => line.trim() !== "");
    case "json":
      return JSON.parse(text);
    default:
      return text;
  }
}
