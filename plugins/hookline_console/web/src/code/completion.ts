/** What the editor offers: what the schema allows, the paths that an expression may read, and names on the server. */

import type {
  Completion,
  CompletionContext,
  CompletionResult,
  CompletionSource,
} from "@codemirror/autocomplete";
import { syntaxTree } from "@codemirror/language";
import type { EditorView } from "@codemirror/view";
import { flowId, stepAround } from "../document/flow_document";
import { partsOf } from "../document/pointer";
import { at, memberOf, pointerAt, textOf, toJson } from "../document/tree";
import { checkedField, documentField } from "./editing";
import type { FlowLanguage } from "./language";
import type { ServerNames } from "./names";
import { NAMED, openPath, pathOptions, scopeAt } from "./paths";

/** The sources of completions; the first one that has any is taken. */
export function completions(language: FlowLanguage, names: ServerNames): readonly CompletionSource[] {
  return [
    async (context) => {
      if (!context.explicit && isProse(context)) return null;
      const paths = completePath(context);
      if (paths) return paths;
      const [named, allowed] = await Promise.all([completeName(context, names), language.complete(context)]);
      return named ?? allowed;
    },
  ];
}

/** A text in which nothing is completed: one with blanks that isn't in an expression. Looking at it costs little. */
function isProse({ state, pos }: CompletionContext): boolean {
  const node = syntaxTree(state).resolveInner(pos, -1);
  if (node.name !== "String") return false;
  const key = node.parent?.getChild("PropertyName");
  if (key && NAMED.has(state.sliceDoc(key.from + 1, key.to - 1))) return false;
  const before = state.sliceDoc(node.from + 1, pos);
  return /\s/.test(before) && before.lastIndexOf("{{") <= before.lastIndexOf("}}") && !before.includes("{%");
}

/** The text that is being written at the cursor: its place, and what of it stands before the cursor. */
function writtenText({ state, pos }: CompletionContext) {
  const document = state.field(documentField);
  const pointer = pointerAt(document.tree, pos);
  const tree = at(document.tree, pointer);
  // The name of a member belongs to its value, and isn't a text of the flow.
  if (tree?.kind !== "scalar" || !tree.json.startsWith('"') || pos <= tree.from) return null;
  return { document, pointer, from: tree.from + 1, before: state.sliceDoc(tree.from + 1, pos) };
}

/** The paths that exist at this step, with their types. */
function completePath(context: CompletionContext): CompletionResult | null {
  const written = writtenText(context);
  const step = written && stepAround(written.document, written.pointer);
  if (!written || !step) return null;
  const path = openPath(written.before, partsOf(written.pointer).at(-1) ?? "");
  if (!path) return null;
  const scope = scopeAt(written.document, context.state.field(checkedField), step);
  const options = pathOptions(scope, path.parts).map(({ name, type }) => ({
    label: name,
    type: "variable",
    ...(type && { detail: type.length > 40 ? `${type.slice(0, 39)}…` : type, info: type }),
  }));
  return options.length > 0 ? { from: context.pos - path.typed.length, options, validFor: /^\w*$/ } : null;
}

/** Credentials, flows, and the options that a service offers. */
async function completeName(
  context: CompletionContext,
  names: ServerNames,
): Promise<CompletionResult | null> {
  const written = writtenText(context);
  if (!written) return null;
  const { document, pointer } = written;
  const parts = partsOf(pointer);
  const component = stepAround(document, pointer)?.step ?? memberOf(document.tree, "trigger");
  const use = textOf(memberOf(component, "use")) ?? "";
  const settings = memberOf(component, "with");
  const found = await names.at({
    flowId: flowId(document),
    pointer: parts,
    use,
    credential: textOf(memberOf(component, "credential")),
    settings: settings ? (toJson(settings) as Record<string, unknown>) : {},
    typed: written.before,
  });
  if (found.length === 0) return null;
  const options = found.map(
    ({ value, label }): Completion => ({
      label: value,
      type: "enum",
      ...(label !== value && { detail: label }),
      apply: replaceText,
    }),
  );
  return { from: written.from, options, validFor: /^[^"]*$/ };
}

/** Put a name in the place of the whole text, and not only of what stands before the cursor. */
function replaceText(view: EditorView, { label }: Completion, from: number, to: number): void {
  const [rest = ""] = /^[^"]*/.exec(view.state.sliceDoc(to, view.state.doc.lineAt(to).to)) ?? [];
  // A text of JSON, without its quotes.
  const insert = JSON.stringify(label).slice(1, -1);
  const changes = { from, to: to + rest.length, insert };
  view.dispatch({ changes, selection: { anchor: from + insert.length }, userEvent: "input.complete" });
}
