/** The places in a flow's expressions that name a step. */

import { languageOf } from "./languages";
import { escapePointer } from "./pointer";
import { memberOf, type Tree, textOf } from "./tree";

/** The languages that an object names, such as `{"jsonata": "steps.order.body"}`. */
const LITERAL = "literal";

/** Call a function for each text of a value that may be an expression, with its pointer. */
function eachText(
  tree: Tree,
  pointer: string,
  visit: (text: string, pointer: string, language: string) => void,
) {
  if (tree.kind === "list") {
    tree.items.forEach((item, index) => {
      eachText(item, `${pointer}/${index}`, visit);
    });
  } else if (tree.kind === "object") {
    if (tree.members.length === 1 && memberOf(tree, LITERAL)) return;
    for (const { name, value } of tree.members) {
      const text = textOf(value);
      const inner = `${pointer}/${escapePointer(name)}`;
      if (text === undefined) eachText(value, inner, visit);
      else visit(text, inner, name);
    }
  } else {
    const text = textOf(tree);
    if (text !== undefined) visit(text, pointer, "");
  }
}

/** Expressions in which everything is code, by the name of their language. */
const LANGUAGES: ReadonlySet<string> = new Set(["jsonpath", "jsonata", "jmespath"]);
const JINJA = /\{\{[\s\S]*?\}\}|\{%[\s\S]*?%\}/g;

/** The texts in a value that name a step, by pointer, as they are once it has another id. */
export function renamedReferences(tree: Tree, id: string, newId: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  eachText(tree, "", (text, pointer, language) => {
    const changed = renamedIn(text, id, newId, language);
    if (changed !== text) found.set(pointer, changed);
  });
  return found;
}

function renamedIn(text: string, id: string, newId: string, language: string): string {
  const rename = (code: string) => renamedCode(code, id, newId);
  if (LANGUAGES.has(language) || languageOf(text) === "jsonpath") return rename(text);
  return text.replace(JINJA, rename);
}

/** A piece of code in which `steps.<id>`, `steps["<id>"]` and `$.steps.<id>` name the step by its new id. */
function renamedCode(code: string, id: string, newId: string): string {
  const start = String.raw`((?:(?<=\$\.)|(?<![\w.$\])]))steps|\$\[(?:'steps'|"steps")\])`;
  const dotted = new RegExp(String.raw`${start}(\s*\.\s*)${id}(?![\w-])`, "g");
  const quoted = new RegExp(String.raw`${start}(\s*\[\s*)(['"])${id}\3(\s*\])`, "g");
  return code.replace(dotted, `$1$2${newId}`).replace(quoted, `$1$2$3${newId}$3$4`);
}
