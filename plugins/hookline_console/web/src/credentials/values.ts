/** The fields of a credential's form, and what the form sets or changes. Values that are stored are never shown. */

import type { Schemas } from "../api/client";
import { type Field, fieldsOf, type Input } from "../forms/fields";
import type { Schema } from "../forms/schema";
import type { Limits } from "./limits";

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

/** The names of controls that are for no value; no value has them. */
export const CONTROLS = {
  name: "credential name",
  flows: "credential flows",
  hosts: "credential hosts",
  removal: (field: string) => `remove ${field}`,
} as const;

type Form = ReadonlyMap<string, string>;

/** The values and limits of a form for a new credential. What is left empty isn't sent. Throws SyntaxError for bad JSON. */
export function credentialOf(fields: readonly Field[], form: Form): Limits & { values: Values } {
  return { values: valuesOf(fields, form), ...limitsOf(form) };
}

/**
 * What a form changes of a stored credential: only what was entered, and null for a value that is removed.
 *
 * `shown`: the limits that the form began with. A form that isn't loaded yet has no controls. Throws SyntaxError for bad JSON.
 */
export function changeOf(
  fields: readonly Field[],
  form: Form,
  shown: Limits,
): Schemas["ChangeCredentialRequest"] {
  const removed = fields.filter((field) => form.has(CONTROLS.removal(field.name)));
  const values = {
    ...valuesOf(fields, form),
    ...Object.fromEntries(removed.map((field) => [field.name, null])),
  };
  const { flows, hosts } = limitsOf(form);
  return {
    ...(Object.keys(values).length > 0 && { values }),
    ...(!form.has(CONTROLS.flows) || isSame(flows, shown.flows) ? {} : { flows }),
    ...(!form.has(CONTROLS.hosts) || isSame(hosts, shown.hosts) ? {} : { hosts }),
  };
}

type Values = Record<string, unknown>;

function valuesOf(fields: readonly Field[], form: Form): Values {
  const values: Values = {};
  for (const field of fields) {
    const text = form.get(field.name) ?? "";
    if (text === "") continue;
    values[field.name] = readValue(controlOf(field), text);
  }
  return values;
}

function limitsOf(form: Form): Limits {
  return { flows: linesOf(form.get(CONTROLS.flows) ?? ""), hosts: linesOf(form.get(CONTROLS.hosts) ?? "") };
}

function linesOf(text: string): string[] {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "");
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((line, index) => line === other[index]);
}

function readValue(control: Control, text: string): unknown {
  switch (control) {
    case "number":
      return Number(text);
    case "boolean":
      return text === "true";
    case "lines":
      return linesOf(text);
    case "json":
      return JSON.parse(text);
    default:
      return text;
  }
}
