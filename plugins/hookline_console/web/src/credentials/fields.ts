/** The fields of a form, made from the JSON Schema of a credential's values. */

export interface FormField {
  name: string;
  label: string;
  description: string;
  kind: "secret" | "text" | "number" | "boolean" | "choice" | "lines" | "json";
  required: boolean;
  /** The default as the form shows it. */
  placeholder: string;
  options: string[];
}

interface Schema {
  type?: string | string[];
  format?: string;
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  $ref?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  default?: unknown;
  description?: string;
  $defs?: Record<string, Schema>;
}

/** The fields of a schema, in its order; those that are required come first. */
export function fieldsOf(schema: unknown): FormField[] {
  const root = schema as Schema;
  const required = new Set(root.required);
  const fields = Object.entries(root.properties ?? {}).map(([name, property]) =>
    fieldOf(name, property, required.has(name), root.$defs ?? {}),
  );
  return [...fields.filter((field) => field.required), ...fields.filter((field) => !field.required)];
}

function fieldOf(name: string, property: Schema, required: boolean, defs: Record<string, Schema>): FormField {
  const inner = alternatives(property, defs);
  const words = name.replaceAll("_", " ");
  const given = property.default;
  return {
    name,
    label: words.charAt(0).toUpperCase() + words.slice(1),
    description: property.description ?? "",
    kind: kindOf(inner),
    required,
    placeholder: given === null || given === undefined || given === "" ? "" : asText(given),
    options: inner.flatMap((each) => each.enum ?? (each.const === undefined ? [] : [each.const])).map(String),
  };
}

/** The schemas of which a value fits one, without null. */
function alternatives(schema: Schema, defs: Record<string, Schema>): Schema[] {
  const target = schema.$ref ? (defs[schema.$ref.split("/").at(-1) ?? ""] ?? {}) : schema;
  return (target.anyOf ?? [target])
    .flatMap((each) => (each.$ref || each.anyOf ? alternatives(each, defs) : [each]))
    .filter((each) => each.type !== "null");
}

function kindOf(inner: readonly Schema[]): FormField["kind"] {
  const first = inner[0] ?? {};
  if (inner.length > 0 && inner.every((each) => each.enum || each.const !== undefined)) return "choice";
  // A secret may be a list of secrets, while the old one is being replaced. The form sets one.
  if (first.format === "password") return "secret";
  if (first.type === "boolean") return "boolean";
  if (first.type === "integer" || first.type === "number") return "number";
  if (first.type === "array" && (first.items?.type === "string" || first.items?.format)) return "lines";
  return first.type === "string" ? "text" : "json";
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The values of a form as the API takes them. What is left empty isn't sent. Throws SyntaxError for bad JSON. */
export function valuesOf(
  fields: readonly FormField[],
  form: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const field of fields) {
    const text = form.get(field.name) ?? "";
    if (text === "") continue;
    values[field.name] = readValue(field.kind, text);
  }
  return values;
}

function readValue(kind: FormField["kind"], text: string): unknown {
  switch (kind) {
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
