/** The server's checker while somebody types: the problems in their places, and the types that each step sees. */

import { type Diagnostic, linter } from "@codemirror/lint";
import { type EditorState, type Extension, StateEffect } from "@codemirror/state";
import { EditorView, ViewPlugin, type ViewUpdate } from "@codemirror/view";
import { api, body, type Schemas } from "../api/client";
import { type FlowDocument, nearest } from "../document/flow_document";
import { memberOf, type Tree } from "../document/tree";
import { describeProblem } from "../ui/problems";
import { applyChange, documentField, ordersFacet, setChecked } from "./editing";
import { actionLabel, creationOf, patched } from "./fixes";
import type { ServerNames } from "./names";
import { type Scope, StepScopes } from "./step_scopes";

type Problem = Schemas["Problem"];

export interface Checked {
  problems: readonly Problem[];
  valid: boolean;
  /** The types of the paths in scope, by the id of the step; of the last text without errors. */
  scopes: Pick<ReadonlyMap<string, Scope>, "get" | "size">;
  /** Why there is no answer. */
  failure?: string;
}

/** Waiting so long after a key, one request answers for many. */
const DELAY_MS = 100;

/**
 * Check the text after each change. Answers about an earlier text are dropped.
 *
 * One request runs at a time, because the server has few places for authors, and ends a process whose request is
 * aborted.
 */
export function checker(flowId: string): Extension {
  let before: Checked = { problems: [], valid: false, scopes: new Map() };
  let running: Promise<unknown> = Promise.resolve();
  let latest = 0;
  const source = async (view: EditorView): Promise<readonly Diagnostic[]> => {
    latest += 1;
    const turn = latest;
    await running;
    const { state } = view;
    if (turn !== latest) return [];
    const document = state.field(documentField);
    const checked = check(flowId, document.text, before);
    running = checked;
    const found = await checked;
    if (view.state.doc !== state.doc) return [];
    before = found;
    view.dispatch({ effects: setChecked.of(found) });
    return found.problems.map((problem) => diagnosticOf(problem, document, state));
  };
  const needsRefresh = ({ transactions }: ViewUpdate) =>
    transactions.some(({ effects }) => effects.some((effect) => effect.is(checkAgain)));
  return linter(source, { delay: DELAY_MS, needsRefresh });
}

const checkAgain = StateEffect.define<null>();

/**
 * Check the text again when somebody comes back to the window, and forget the names that the server had: a credential may
 * have been made in another tab, or the server may be reached again.
 */
export function checkOnReturn(names: ServerNames): Extension {
  return ViewPlugin.define((view) => {
    const onFocus = () => {
      names.forget();
      view.dispatch({ effects: checkAgain.of(null) });
    };
    window.addEventListener("focus", onFocus);
    return { destroy: () => window.removeEventListener("focus", onFocus) };
  });
}

async function check(flowId: string, text: string, before: Checked): Promise<Checked> {
  const wanted = { text, flow_id: flowId, scopes: "changes" } as const;
  try {
    const { problems, valid, steps } = await body(api.POST("/api/v1/check", { body: wanted }));
    const scopes = new StepScopes(steps);
    return { problems, valid, scopes: scopes.size > 0 ? scopes : before.scopes };
  } catch (error) {
    return { ...before, failure: describeProblem(error).detail };
  }
}

function diagnosticOf(problem: Problem, document: FlowDocument, state: EditorState): Diagnostic {
  const place = placeOf(problem, document, state);
  return {
    ...place,
    severity: problem.severity === "note" ? "info" : problem.severity,
    message: problem.remedy ? `${problem.message}\n${problem.remedy}` : problem.message,
    ...(problem.code && { source: problem.code }),
    actions: [{ name: actionLabel(problem), apply: (view) => remedy(view, problem) }],
  };
}

/** Make the remedy of a problem, if it still fits; go to where somebody has to decide. */
export function remedy(view: EditorView, problem: Problem): void {
  const { fix } = problem;
  const creation = creationOf(problem);
  if (fix.length === 0 && creation) window.open(creation, "_blank", "noopener");
  else if (fix.length === 0) goToProblem(view, problem);
  else applyChange(view, patched(view.state.field(documentField), fix, view.state.facet(ordersFacet)));
  view.focus();
}

/** Put the cursor to where a problem is marked. */
export function goToProblem(view: EditorView, problem: Problem): void {
  const { from } = placeOf(problem, view.state.field(documentField), view.state);
  const effects = EditorView.scrollIntoView(from, { y: "center" });
  view.dispatch({ selection: { anchor: from }, effects });
  view.focus();
}

/** The place of a problem in the text: a short one, so that it doesn't colour a whole block. */
export function placeOf(
  problem: Problem,
  document: FlowDocument,
  state: EditorState,
): { from: number; to: number } {
  const found = nearest(document, problem.pointer);
  // What isn't JSON has no pointer.
  if (!found || (found.pointer === "" && problem.line)) return lineOf(problem, state);
  const { from, to } = markOf(found.tree);
  return { from, to: Math.min(to, state.doc.lineAt(from).to) };
}

function lineOf(problem: Problem, state: EditorState): { from: number; to: number } {
  const line = state.doc.line(Math.min(Math.max(problem.line ?? 1, 1), state.doc.lines));
  const from = Math.min(line.from + (problem.column ?? 1) - 1, line.to);
  return { from, to: Math.max(from, Math.min(from + 1, line.to)) };
}

/** A scalar, or the id or the action of a step. */
function markOf(tree: Tree): { from: number; to: number } {
  const name = memberOf(tree, "id") ?? memberOf(tree, "use");
  if (name) return name;
  return tree.kind === "scalar" ? tree : { from: tree.from, to: tree.from + 1 };
}
