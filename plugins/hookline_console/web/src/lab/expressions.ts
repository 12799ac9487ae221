/** The texts of a step that are expressions, or may become some. */

import { LANGUAGES, type Language, languageOf, PLAIN } from "../document/languages";
import { escapePointer } from "../document/pointer";
import { type StepPlace, stepLists } from "../document/steps";
import { memberOf, type Tree, textOf } from "../document/tree";
import type { TextLanguage } from "./paths";

export interface StepExpression {
  /** The pointer by which the server names it. */
  pointer: string;
  /** The pointer of its text, which differs if an object names the language. */
  textPointer: string;
  /** Its place in the step, such as `with.body.total`. */
  name: string;
  language: TextLanguage;
  text: string;
}

/** Members of a step whose texts are names. */
const NAMES = ["id", "use", "credential", "as", "timeout", "delivery", "on_error", "match", "collect"];

/** The places whose texts stay rows while somebody types what isn't an expression yet. */
const EXPRESSIONS = /^(?:with(?:\.|$)|when$|foreach$|switch\.\d+\.when$)/;

/** The expressions of a step in the order of the text, without those of the steps inside. */
export function expressionsOf(place: StepPlace, mappers: readonly string[]): StepExpression[] {
  const { step, pointer } = place;
  const languages = LANGUAGES.filter((name) => PLAIN.includes(name) || mappers.includes(name));
  const lists = new Set(stepLists(step).map((list) => pointer + list));
  const found: StepExpression[] = [];
  const walk = (tree: Tree, at: string, names: readonly string[]) => {
    if (lists.has(at)) return;
    if (tree.kind === "list") {
      tree.items.forEach((item, index) => {
        walk(item, `${at}/${index}`, [...names, String(index)]);
      });
      return;
    }
    if (tree.kind === "scalar") {
      const text = textOf(tree);
      if (text === undefined) return;
      found.push({
        pointer: at,
        textPointer: at,
        name: names.join("."),
        language: languageOf(text) ?? "text",
        text,
      });
      return;
    }
    const named = namedBy(tree, languages);
    if (named) {
      const text = textOf(memberOf(tree, named)) ?? "";
      found.push({
        pointer: at,
        textPointer: `${at}/${named}`,
        name: names.join("."),
        language: named,
        text,
      });
      return;
    }
    if (tree.members.length === 1 && memberOf(tree, "literal")) return;
    for (const { name, value } of tree.members) {
      if (names.length === 0 && NAMES.includes(name)) continue;
      walk(value, `${at}/${escapePointer(name)}`, [...names, name]);
    }
  };
  walk(step, pointer, []);
  return found.filter(({ name, language }) => language !== "text" || EXPRESSIONS.test(name));
}

/** The language that an object names by its keys. */
function namedBy(tree: Tree, languages: readonly Language[]): Language | undefined {
  if (tree.kind !== "object" || tree.members.length > 2) return undefined;
  const names = tree.members.map(({ name }) => name).filter((name) => name !== "default");
  return names.length === 1 ? languages.find((language) => language === names[0]) : undefined;
}

/** The languages that a flow lists. */
export function mappersOf(flow: Tree | null): string[] {
  const listed = memberOf(flow, "mappers");
  return listed?.kind === "list" ? listed.items.map((item) => textOf(item) ?? "") : [];
}

/** The expression in which a value is, or that a value has around it. */
export function expressionAt(
  expressions: readonly StepExpression[],
  pointer: string,
): StepExpression | undefined {
  return expressions.find((one) => pointer === one.pointer || pointer.startsWith(`${one.pointer}/`));
}
