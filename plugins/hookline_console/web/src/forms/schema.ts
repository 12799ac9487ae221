/**
 * The JSON Schemas from which forms are made: those of flows, and those of credentials.
 *
 * Only what they use is understood: references, alternatives, and conditions on the value itself.
 */

import { memberOf, scalarOf, type Tree } from "../document/tree";

export interface Schema {
  $ref?: string;
  $defs?: Readonly<Record<string, Schema>>;
  type?: string | readonly string[];
  title?: string;
  description?: string;
  default?: unknown;
  format?: string;
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  enum?: readonly unknown[];
  const?: unknown;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  allOf?: readonly Schema[];
  if?: Schema;
  then?: Schema;
  else?: Schema;
  items?: Schema;
  minItems?: number;
  properties?: Readonly<Record<string, Schema | boolean>>;
  patternProperties?: Readonly<Record<string, Schema>>;
  additionalProperties?: Schema | boolean;
  required?: readonly string[];
}

export type Definitions = Readonly<Record<string, Schema>>;

/** The name of a definition to which a schema refers. */
export function definitionOf(schema: Schema): string | undefined {
  return schema.$ref?.split("/").at(-1);
}

/** A schema with what it refers to. Its own description and default come before those of the definition. */
export function dereferenced(schema: Schema, definitions: Definitions): Schema {
  const name = definitionOf(schema);
  if (name === undefined) return schema;
  const { $ref: _, ...own } = schema;
  return { ...dereferenced(definitions[name] ?? {}, definitions), ...own };
}

/** The schema of an object as it is for a value: with what its conditions demand, such as the settings of its action. */
export function settled(schema: Schema, value: Tree | undefined, definitions: Definitions): Schema {
  const given = dereferenced(schema, definitions);
  let made = given;
  for (const each of [...(given.allOf ?? []), given]) made = conditioned(made, each, value, definitions);
  return made;
}

function conditioned(
  base: Schema,
  condition: Schema,
  value: Tree | undefined,
  definitions: Definitions,
): Schema {
  if (!condition.if) return base;
  const branch = holds(condition.if, value) ? condition.then : condition.else;
  return branch ? merged(base, settled(branch, value, definitions)) : base;
}

/** Whether a value satisfies a condition. What isn't there satisfies conditions on its value, as in JSON Schema. */
function holds(condition: Schema, value: Tree | undefined): boolean {
  if (condition.type !== undefined && typeOf(value) !== condition.type) return false;
  if (condition.const !== undefined && textOrValue(value) !== condition.const) return false;
  if (condition.required?.some((name) => !memberOf(value, name))) return false;
  return Object.entries(condition.properties ?? {}).every(([name, inner]) => {
    const member = memberOf(value, name);
    return member === undefined || typeof inner === "boolean" || holds(inner, member);
  });
}

/** An action is the same in each version: `log@1` has the settings of `log`. */
function textOrValue(value: Tree | undefined): unknown {
  const found = value?.kind === "scalar" ? scalarOf(value) : undefined;
  return typeof found === "string" ? found.replace(/@\d+$/, "") : found;
}

/** The type of a value, as JSON Schema names it. */
export function typeOf(value: Tree | undefined): string | undefined {
  if (value?.kind === "list") return "array";
  if (value?.kind === "object") return "object";
  const found = value && scalarOf(value);
  return found === null ? "null" : found === undefined ? undefined : typeof found;
}

function merged(base: Schema, over: Schema): Schema {
  const closed = over.additionalProperties === false && over.properties !== undefined;
  const given = over.properties ?? {};
  const names = Object.keys(closed ? given : { ...base.properties, ...given });
  const properties: Record<string, Schema | boolean> = {};
  for (const name of names) {
    const [below, above] = [base.properties?.[name], given[name]];
    if (isForbidden(above)) continue;
    properties[name] = both(below, above);
  }
  const { if: _, allOf: __, ...rest } = { ...base, ...over };
  const required = [...new Set([...(base.required ?? []), ...(over.required ?? [])])];
  return { ...rest, properties, required };
}

function both(below: Schema | boolean | undefined, above: Schema | boolean | undefined): Schema | boolean {
  if (typeof above !== "object") return below ?? true;
  return typeof below === "object" ? { ...below, ...above } : above;
}

/** Whether a member must not be there: an action without credentials has `"credential": {"type": "null"}`. */
function isForbidden(schema: Schema | boolean | undefined): boolean {
  return schema === false || (typeof schema === "object" && schema.type === "null");
}

/** A value among which one chooses. */
export interface Option {
  value: unknown;
  description?: string | undefined;
}

/** The values of a schema that names them all. */
export function optionsOf({ enum: values, const: only, oneOf }: Schema): Option[] | undefined {
  if (values) return values.map((value) => ({ value }));
  if (only !== undefined) return [{ value: only }];
  if (!oneOf?.every((each) => each.const !== undefined)) return undefined;
  return oneOf.map(({ const: value, description }) => ({ value, description }));
}
