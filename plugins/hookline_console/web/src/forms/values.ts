/** Values of a document in the inputs of a form: which input shows a value, and what an input writes. */

import { LANGUAGES, type Language, languageOf, PLAIN } from "../document/languages";
import {
  list,
  memberOf,
  type ObjectTree,
  object,
  scalarOf,
  type Tree,
  textOf,
  treeFrom,
} from "../document/tree";
import { fieldsOf, type Input, inputsOf } from "./fields";
import type { Definitions } from "./schema";

const JSON_INPUT: Input = { kind: "json" };
/** A value of more parts than these is shown as JSON, since nobody reads it as a form. */
const MOST_PARTS = 200;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** The input that shows a value; JSON if no other does. */
export function inputFor(inputs: readonly Input[], value: Tree): Input {
  const ordered = [...inputs.filter(isExpression), ...inputs.filter((input) => !isExpression(input))];
  const exact = ordered.find((input) => shows(input, value));
  if (exact) return exact;
  // A name that the schema doesn't know, such as an action that isn't installed, is still one to choose.
  const choice = textOf(value) === undefined ? undefined : inputs.find(({ kind }) => kind === "choice");
  return choice ?? JSON_INPUT;
}

export function isExpression(input: Input): boolean {
  return input.kind === "expression" || input.kind === "literal";
}

function shows(input: Input, value: Tree): boolean {
  switch (input.kind) {
    case "expression":
      return codeOf(value, input.language) !== undefined;
    case "literal":
      return (
        value.kind === "object" && value.members.length === 1 && memberOf(value, "literal") !== undefined
      );
    case "text": {
      const text = textOf(value);
      // A field of one line would lose the ends of lines, and every field loses carriage returns.
      return text !== undefined && !text.includes("\r") && (input.long || !text.includes("\n"));
    }
    case "number":
      return value.kind === "scalar" && NUMBER.test(value.json);
    case "boolean":
      return value.kind === "scalar" && typeof scalarOf(value) === "boolean";
    case "null":
      return value.kind === "scalar" && value.json === "null";
    case "choice":
      return value.kind === "scalar" && input.options.some((option) => option.value === scalarOf(value));
    case "list":
    case "map":
      return value.kind === (input.kind === "list" ? "list" : "object") && partsIn(value) <= MOST_PARTS;
    case "object":
      return value.kind === "object";
    case "steps":
      return value.kind === "list";
    default:
      return true;
  }
}

function partsIn(value: Tree): number {
  if (value.kind === "scalar") return 1;
  const inner = value.kind === "list" ? value.items : value.members.map((member) => member.value);
  return inner.reduce((sum, each) => sum + partsIn(each), 1);
}

/** The code of an expression; undefined for what isn't one in this language. */
export function codeOf(value: Tree | undefined, language: Language): string | undefined {
  const text = textOf(value);
  if (text !== undefined) return languageOf(text) === language ? text : undefined;
  return wrapped(value, language) ? textOf(memberOf(value, language)) : undefined;
}

/** Whether an object names the language of its expression. */
export function wrapped(value: Tree | undefined, language: string): value is ObjectTree {
  if (value?.kind !== "object" || textOf(memberOf(value, language)) === undefined) return false;
  return value.members.every(({ name }) => name === language || name === "default");
}

/** The expression with another code; undefined if that would be no expression any more. */
export function withCode(value: Tree | undefined, language: Language, code: string): Tree | undefined {
  if (wrapped(value, language)) {
    const members = value.members.map((each) =>
      each.name === language ? { ...each, value: treeFrom(code) } : each,
    );
    return { ...value, members };
  }
  return languageOf(code) === language ? treeFrom(code) : undefined;
}

/** The number that a text is; undefined for other texts. It keeps its digits. */
export function numberFrom(text: string): Tree | undefined {
  return NUMBER.test(text) ? { kind: "scalar", json: text, from: -1, to: -1 } : undefined;
}

/** The value with which an input begins, from the value that was there. `inputs`: all of its field. */
export function begin(
  input: Input,
  before: Tree | undefined,
  inputs: readonly Input[],
  definitions: Definitions,
): Tree {
  switch (input.kind) {
    case "text": {
      const text = scalarText(before);
      // A text that looks like an expression is one, unless it is marked as a literal.
      const isRead = languageOf(text) !== undefined && inputs.some(({ kind }) => kind === "literal");
      return isRead ? object([["literal", treeFrom(text)]]) : treeFrom(text);
    }
    case "number":
      return numberFrom(scalarText(before)) ?? treeFrom(Math.max(input.least ?? 1, 1));
    case "boolean":
      return treeFrom(false);
    case "null":
      return treeFrom(null);
    case "choice":
      return treeFrom(input.options[0]?.value ?? "");
    case "list":
      return list(isKept(before, inputsOf(input.items, definitions)) ? [before] : []);
    case "steps":
      return list([]);
    case "map":
      return object([]);
    case "object":
      return object(requiredMembers(input.schema, definitions));
    case "expression":
      return expressionFrom(before, input.language);
    case "literal":
      return object([["literal", before ?? treeFrom("")]]);
    default:
      return before ?? treeFrom(null);
  }
}

function isKept(value: Tree | undefined, inputs: readonly Input[]): value is Tree {
  return value?.kind === "scalar" && inputFor(inputs, value).kind !== "json";
}

/** The text of a scalar or of an expression; empty for all others. */
function scalarText(value: Tree | undefined): string {
  const inner = memberOf(value, "literal") ?? value;
  const code = LANGUAGES.map((language) => codeOf(inner, language)).find((each) => each !== undefined);
  if (code !== undefined) return code;
  return textOf(inner) ?? (inner?.kind === "scalar" && inner.json !== "null" ? inner.json : "");
}

/** An expression from the path that another one reads, or from the body. */
function expressionFrom(before: Tree | undefined, language: Language): Tree {
  return expressionOf(pathOf(scalarText(before)) ?? "body", language);
}

/** The expression of a path, such as `body.id`, in a language. */
export function expressionOf(path: string, language: Language): Tree {
  const code = codeOfPath(path, language);
  return PLAIN.includes(language) ? treeFrom(code) : object([[language, treeFrom(code)]]);
}

function codeOfPath(path: string, language: Language): string {
  if (language === "jsonpath") return `$.${path}`;
  return language === "jinja" ? `{{ ${path} }}` : path;
}

/** The path that an expression reads, if it does nothing else. */
function pathOf(code: string): string | undefined {
  const [, path] =
    /^(?:\$\.|\{\{\s*)?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*)(?:\s*\}\})?$/.exec(code) ?? [];
  return path;
}

/** What an object must have, with the values with which its inputs begin. */
export function requiredMembers(
  schema: Parameters<typeof fieldsOf>[0],
  definitions: Definitions,
  { evaluated = false } = {},
): [string, Tree][] {
  return fieldsOf(schema, undefined, definitions, { evaluated })
    .filter((field) => field.required)
    .map((field) => [field.name, firstValue(field.inputs, definitions)]);
}

/** The value with which a field begins: the body, if it may be of any kind. */
export function firstValue(inputs: readonly Input[], definitions: Definitions): Tree {
  const isAnything = inputs.some(({ kind }) => kind === "map") && inputs.some(({ kind }) => kind === "text");
  const expression = inputs.find(isExpression);
  const input = (isAnything ? expression : undefined) ?? inputs[0] ?? JSON_INPUT;
  return begin(input, undefined, inputs, definitions);
}
