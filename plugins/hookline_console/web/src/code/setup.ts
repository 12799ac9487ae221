/** The extensions of the editor. */

import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import {
  bracketMatching,
  codeFolding,
  foldEffect,
  foldGutter,
  foldKeymap,
  foldService,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
  syntaxTree,
} from "@codemirror/language";
import { lintGutter, lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  type Command,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { texts } from "../texts";
import { checker, checkOnReturn } from "./check";
import { completions } from "./completion";
import { documentField } from "./editing";
import { hangingIndent } from "./hanging_indent";
import { docsOnHover, type FlowLanguage } from "./language";
import type { ServerNames } from "./names";

const words = texts.editor;

export interface Commands {
  format: Command;
  rename: Command;
  save: Command;
  /** Open the menu of the step in which the cursor is. */
  menu: Command;
}

/** Everything that the editor of a flow has. */
export function setup(
  flowId: string,
  language: FlowLanguage,
  names: ServerNames,
  commands: Commands,
  readOnly: boolean,
): Extension {
  return [
    EditorView.cspNonce.of(nonce()),
    EditorView.contentAttributes.of({
      "aria-label": words.label,
      "aria-description": words.keys,
      // It can be focused anyway; checkers of accessibility want it said.
      tabindex: "0",
      class: "foreign",
    }),
    EditorState.readOnly.of(readOnly),
    EditorState.tabSize.of(2),
    indentUnit.of("  "),
    EditorView.lineWrapping,
    hangingIndent,
    lintGutter(),
    lineNumbers(),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    foldGutter({ openText: "▾", closedText: "▸" }),
    codeFolding(),
    stepFolding,
    history(),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    json(),
    syntaxHighlighting(classHighlighter),
    highlightSelectionMatches(),
    search({ top: true }),
    autocompletion({
      override: completions(language, names),
      activateOnCompletion: (completion) => completion.type === "property",
      icons: false,
    }),
    docsOnHover(language),
    checker(flowId),
    checkOnReturn(names),
    keymap.of([
      { key: "Shift-Alt-f", run: commands.format },
      { key: "F2", run: commands.rename },
      { key: "Alt-Enter", run: commands.menu },
      { key: "Mod-s", run: commands.save, preventDefault: true },
      { key: "Mod-Alt-[", run: foldSteps },
      ...closeBracketsKeymap,
      ...completionKeymap,
      ...lintKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...foldKeymap,
      ...defaultKeymap,
      // Escape, then Tab, leaves the editor.
      indentWithTab,
    ]),
  ];
}

/** The nonce by which the page allows styles. */
function nonce(): string {
  return document.querySelector<HTMLElement>("meta[property=csp-nonce]")?.nonce ?? "";
}

type Tree = ReturnType<typeof syntaxTree>;

/** A line in which an item of a list begins, such as a step, folds all of the item. This costs each key little. */
const stepFolding = foldService.of((state, from, to) => {
  let end = 0;
  let node: ReturnType<Tree["resolveInner"]> | null = syntaxTree(state).resolveInner(to, -1);
  for (; node && node.from >= from; node = node.parent) {
    if (node.name === "Object" && node.parent?.name === "Array") end = node.to;
  }
  return end > to + 1 ? { from: to, to: end - 1 } : null;
});

/** Fold each step that isn't in another. */
const foldSteps: Command = (view) => {
  const { doc } = view.state;
  const outer = view.state.field(documentField).steps.filter(({ list }) => !list.slice(1).includes("/"));
  const effects = outer.flatMap(({ step }) => {
    const line = doc.lineAt(step.from);
    return step.to > line.to + 1 ? [foldEffect.of({ from: line.to, to: step.to - 1 })] : [];
  });
  if (effects.length > 0) view.dispatch({ effects });
  return effects.length > 0;
};
