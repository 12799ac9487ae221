/** The fields of a form, made from a JSON Schema, and the inputs by which the value of each may be given. */

import { LANGUAGES, type Language } from "../document/languages";
import type { Tree } from "../document/tree";
import {
  type Definitions,
  definitionOf,
  dereferenced,
  type Option,
  optionsOf,
  type Schema,
  settled,
} from "./schema";

interface TextInput {
  kind: "text";
  /** Its value is a secret. */
  secret: boolean;
  /** True if it may have several lines. */
  long: boolean;
  /** True if it may be empty. */
  empty: boolean;
}

/** A way in which a value is given in a form. */
export type Input =
  | TextInput
  /** `rare`: the engine takes numbers for texts, which nobody has to write. */
  | { kind: "number"; least: number | undefined; rare: boolean }
  | { kind: "boolean" }
  | { kind: "null" }
  | { kind: "choice"; options: readonly Option[] }
  | { kind: "list"; items: Schema }
  /** An object whose members have any names. */
  | { kind: "map"; values: Schema }
  | { kind: "object"; schema: Schema }
  | { kind: "steps" }
  | { kind: "expression"; language: Language }
  /** A value that isn't read as an expression, though it looks like one. */
  | { kind: "literal" }
  /** What no other input can show. */
  | { kind: "json" };

export interface Field {
  name: string;
  label: string;
  description: string;
  required: boolean;
  /** False if the schema doesn't know it. */
  known: boolean;
  /** The default as the form shows it. */
  placeholder: string;
  inputs: readonly Input[];
  /** The members that can't be there beside it. */
  excludes: readonly string[];
}

const TEXT: TextInput = { kind: "text", secret: false, long: true, empty: true };
const NUMBER: Input = { kind: "number", least: undefined, rare: false };
/** A schema that allows everything. */
const ANY: Schema = {};
/** A schema that allows everything, in a place that is evaluated. */
export const EVALUATED: Schema = { anyOf: [ANY, { $ref: "#/$defs/Expression" }] };

/** The fields of an object, in the order of its schema; then those of its members that the schema doesn't know. */
export function fieldsOf(
  given: Schema,
  value: Tree | undefined,
  definitions: Definitions,
  { evaluated }: { evaluated: boolean },
): Field[] {
  const schema = settled(given, value, definitions);
  const open = (property: Schema | boolean) => schemaOf(property, definitions, evaluated);
  const known = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    fieldOf(name, open(property), schema, definitions),
  );
  const members = value?.kind === "object" ? value.members : [];
  const unknown = members.filter(({ name }) => !known.some((field) => field.name === name));
  const others = schema.additionalProperties ?? true;
  return [
    ...known,
    ...unknown.map(({ name }) => ({
      ...fieldOf(name, open(others), schema, definitions),
      label: name,
      known: others !== false,
    })),
  ];
}

/** The schema of a member. If it allows everything in a place that is evaluated, it allows expressions. */
function schemaOf(property: Schema | boolean, definitions: Definitions, evaluated: boolean): Schema {
  const schema = typeof property === "boolean" ? ANY : property;
  return evaluated && isOpen(schema, definitions) ? { ...schema, anyOf: EVALUATED.anyOf ?? [] } : schema;
}

function isOpen(schema: Schema, definitions: Definitions): boolean {
  const {
    anyOf,
    type,
    properties,
    items,
    enum: values,
    const: only,
    oneOf,
  } = dereferenced(schema, definitions);
  return [anyOf, type, properties, items, values, only, oneOf].every((each) => each === undefined);
}

function fieldOf(name: string, property: Schema, around: Schema, definitions: Definitions): Field {
  const { description = "", default: given } = dereferenced(property, definitions);
  const inputs = inputsOf(property, definitions);
  // A member that is null by default is left out rather than null.
  const offered = given === null && inputs.length > 1 ? inputs.filter(({ kind }) => kind !== "null") : inputs;
  return {
    name,
    label: labelOf(name),
    description,
    required: around.required?.includes(name) ?? false,
    known: true,
    placeholder: given === null || given === undefined || given === "" ? "" : asText(given),
    inputs: offered,
    excludes: excludedBy(name, around),
  };
}

/** The other members of which only one may be there, such as `when` and `otherwise` of a case. */
function excludedBy(name: string, { oneOf = [] }: Schema): string[] {
  const groups = oneOf.map((each) => each.required ?? []);
  if (!groups.some((group) => group.includes(name))) return [];
  return groups.filter((group) => !group.includes(name)).flat();
}

export function labelOf(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The inputs by which a value of a schema may be given. */
export function inputsOf(schema: Schema, definitions: Definitions): Input[] {
  const found: Input[] = [];
  for (const input of alternatives(schema, definitions, ANY)) {
    if (!found.some((each) => isSame(each, input))) found.push(input);
  }
  return found;
}

function isSame(one: Input, other: Input): boolean {
  if (one.kind === "expression" && other.kind === "expression") return one.language === other.language;
  return one.kind === other.kind;
}

/** `inner`: the schema of what is in a value of any type. */
function alternatives(given: Schema, definitions: Definitions, inner: Schema): Input[] {
  if (definitionOf(given) === "Expression") return expressionsOf(dereferenced(given, definitions));
  const schema = dereferenced(given, definitions);
  if (schema.anyOf && !schema.properties) {
    const evaluated = schema.anyOf.some((each) => definitionOf(each) === "Expression");
    return schema.anyOf.flatMap((each) => alternatives(each, definitions, evaluated ? EVALUATED : inner));
  }
  const options = optionsOf(schema);
  if (options) return [{ kind: "choice", options }];
  // A condition on the type alone is a choice between two schemas.
  if (schema.if?.type && schema.then && schema.else) {
    const texts = alternatives({ type: schema.if.type, ...schema.then }, definitions, inner);
    return [...texts, ...alternatives(schema.else, definitions, inner)];
  }
  const types = typesOf(schema);
  return types.length === 0 ? anything(inner) : types.map((type) => inputOf(type, schema, types, inner));
}

function typesOf({ type, properties, items }: Schema): readonly string[] {
  if (type !== undefined) return typeof type === "string" ? [type] : type;
  return properties ? ["object"] : items ? ["array"] : [];
}

/** The inputs of a value of any type. */
function anything(inner: Schema): Input[] {
  return [
    TEXT,
    NUMBER,
    { kind: "boolean" },
    { kind: "null" },
    { kind: "list", items: inner },
    { kind: "map", values: inner },
  ];
}

/** An input for each language that the schema of expressions has. */
function expressionsOf({ anyOf = [] }: Schema): Input[] {
  const has = (name: string) => anyOf.some(({ properties }) => properties?.[name] !== undefined);
  const languages = LANGUAGES.filter(has);
  return [
    ...languages.map((language): Input => ({ kind: "expression", language })),
    ...(has("literal") ? [{ kind: "literal" } as const] : []),
  ];
}

function inputOf(type: string, schema: Schema, types: readonly string[], inner: Schema): Input {
  switch (type) {
    case "string":
      return textInput(schema);
    case "integer":
    case "number": {
      const least = schema.minimum ?? schema.exclusiveMinimum;
      return { kind: "number", least, rare: types.includes("string") };
    }
    case "boolean":
      return { kind: "boolean" };
    case "null":
      return { kind: "null" };
    case "array":
      return isStep(schema.items) ? { kind: "steps" } : { kind: "list", items: schema.items ?? inner };
    default:
      return objectInput(schema, inner);
  }
}

function textInput({ format, pattern, maxLength, minLength }: Schema): TextInput {
  const secret = format === "password";
  const long = pattern === undefined && maxLength === undefined && format === undefined;
  return { kind: "text", secret, long, empty: pattern === undefined && !minLength };
}

function objectInput(schema: Schema, inner: Schema): Input {
  const { properties, patternProperties, additionalProperties } = schema;
  if (properties || schema.if || schema.allOf) return { kind: "object", schema };
  const [pattern] = Object.values(patternProperties ?? {});
  return {
    kind: "map",
    values: pattern ?? (typeof additionalProperties === "object" ? additionalProperties : inner),
  };
}

function isStep(schema: Schema | undefined): boolean {
  return schema !== undefined && definitionOf(schema) === "Step";
}
