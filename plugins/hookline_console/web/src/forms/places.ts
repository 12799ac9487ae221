/** The values of a document that forms show, each with its place: what the components of a form draw, as a list. */

import { escapePointer } from "../document/pointer";
import { memberOf, type Tree } from "../document/tree";
import { type Field, fieldsOf, type Input, inputsOf } from "./fields";
import type { Definitions, Schema } from "./schema";
import { inputFor, isExpression, wrapped } from "./values";

export interface FieldPlace {
  pointer: string;
  /** Undefined for a member that isn't there. */
  value: Tree | undefined;
  inputs: readonly Input[];
  /** The input that shows the value. */
  input: Input | undefined;
  /** The members beside it that can't be there at the same time. */
  excludes: readonly string[];
}

/** Whether the values of any kind at a place are evaluated, so that they may be expressions: the settings of a step. */
export function isEvaluated(pointer: string): boolean {
  return /^\/(?:steps|on_error)\/(?:.*\/)?\d+\/with$/.test(pointer);
}

/** The inputs of a value beneath `literal`, where nothing is an expression. */
export function literalInputs(definitions: Definitions): Input[] {
  return inputsOf({}, definitions).filter((input) => !isExpression(input));
}

/** Each field of an object's form, and those of the values in it. */
export function* placesIn(
  schema: Schema,
  value: Tree | undefined,
  pointer: string,
  definitions: Definitions,
): Generator<FieldPlace> {
  const fields = fieldsOf(schema, value, definitions, { evaluated: isEvaluated(pointer) });
  for (const field of fields) yield* placesOfField(field, value, pointer, definitions);
}

function* placesOfField(
  { name, inputs, excludes }: Field,
  around: Tree | undefined,
  pointer: string,
  definitions: Definitions,
): Generator<FieldPlace> {
  const at = `${pointer}/${escapePointer(name)}`;
  yield* placesOfValue(memberOf(around, name), inputs, at, definitions, excludes);
}

function* placesOfValue(
  value: Tree | undefined,
  inputs: readonly Input[],
  pointer: string,
  definitions: Definitions,
  excludes: readonly string[] = [],
): Generator<FieldPlace> {
  const input = value && inputFor(inputs, value);
  yield { pointer, value, inputs, input, excludes };
  if (!value || !input) return;
  if (input.kind === "object") yield* placesIn(input.schema, value, pointer, definitions);
  if (input.kind === "literal") {
    yield* placesOfValue(
      memberOf(value, "literal"),
      literalInputs(definitions),
      `${pointer}/literal`,
      definitions,
    );
  }
  if (input.kind === "expression" && wrapped(value, input.language) && memberOf(value, "default")) {
    const inner = memberOf(value, "default");
    yield* placesOfValue(inner, literalInputs(definitions), `${pointer}/default`, definitions);
  }
  if (input.kind === "list" && value.kind === "list") {
    const inner = inputsOf(input.items, definitions);
    for (const [index, item] of value.items.entries()) {
      yield* placesOfValue(item, inner, `${pointer}/${index}`, definitions);
    }
  }
  if (input.kind === "map" && value.kind === "object") {
    const inner = inputsOf(input.values, definitions);
    for (const each of value.members) {
      yield* placesOfValue(each.value, inner, `${pointer}/${escapePointer(each.name)}`, definitions);
    }
  }
}
