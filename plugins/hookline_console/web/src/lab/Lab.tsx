import "./lab.css";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Editing, Snapshot } from "../code/editing";
import { setValue } from "../document/edits";
import { stepAt } from "../document/flow_document";
import type { StepPlace } from "../document/steps";
import { at, treeFrom } from "../document/tree";
import type { Key } from "../json/json";
import { Tree } from "../json/Tree";
import { texts } from "../texts";
import { Empty, Loading } from "../ui/Notices";
import { describeProblem } from "../ui/problems";
import { ExpressionRow } from "./ExpressionRow";
import { type Evaluation, useEvaluation } from "./evaluation";
import { expressionAt, expressionsOf, mappersOf, type StepExpression } from "./expressions";
import { MessageChooser } from "./MessageChooser";
import { withStubs } from "./messages";
import { pathIn, withPath } from "./paths";
import { isMissing, type Message } from "./useMessage";

const words = texts.lab;

interface LabProps {
  editing: Editing;
  snapshot: Snapshot;
  message: Message;
  /** Which time the message reaches the step, at first. */
  turn: number;
}

/** The expressions of a step, and what they give for a message. A click on a value puts its path into one of them. */
export function Lab({ editing, snapshot, message, turn: firstTurn }: LabProps) {
  const { document } = snapshot;
  const [turn, setTurn] = useState(firstTurn);
  const step = stepAt(document, snapshot.selected ?? "") ?? document.steps[0];
  const given = useMemo(
    () => message.given.value && withStubs(message.given.value, message.pins),
    [message.given.value, message.pins],
  );
  const { choice } = message;
  const shown = useEvaluation(document, { step: step?.pointer, choice, given, turn });
  const evaluation = isMissing(message) ? undefined : shown.value;
  return (
    <div class="lab">
      <div class="lab-bar">
        <MessageChooser message={message} />
        {step && <span class="muted foreign">{words.step(step.id)}</span>}
        {evaluation && evaluation.turns > 1 && (
          <Turns count={evaluation.turns} turn={turn} onTurn={setTurn} />
        )}
        <State document={document} evaluation={evaluation} error={shown.error} />
      </div>
      {step ? (
        <Bench
          // The tree opens anew for another message.
          key={`${step.pointer} ${choice?.id}`}
          editing={editing}
          snapshot={snapshot}
          step={step}
          evaluation={evaluation}
          absence={absenceOf(message, document.broken || shown.error !== undefined)}
        />
      ) : (
        <Empty title={words.noStep} />
      )}
    </div>
  );
}

/** Why there is no evaluation of the chosen message; null if it is to come. */
function absenceOf(message: Message, hasFailed: boolean): string | null {
  if (isMissing(message)) return words.message.notLoaded;
  if (message.given.value === null) return words.message.none;
  return hasFailed ? words.noValues : null;
}

function Turns({ count, turn, onTurn }: { count: number; turn: number; onTurn: (turn: number) => void }) {
  return (
    <label class="lab-message">
      <span class="muted">{words.turn}</span>
      <select
        class="input"
        value={Math.min(turn, count - 1)}
        onChange={(event) => onTurn(Number(event.currentTarget.value))}
      >
        {Array.from({ length: count }, (_, index) => (
          <option key={index} value={index}>
            {index + 1}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Why the values are missing, or older than the text. */
function State({
  document,
  evaluation,
  error,
}: {
  document: Snapshot["document"];
  evaluation: Evaluation | undefined;
  error: unknown;
}) {
  if (document.broken) return <span class="lab-state">{words.broken}</span>;
  if (error !== undefined)
    return (
      <span class="lab-state lab-bad foreign" role="status">
        {describeProblem(error).detail}
      </span>
    );
  if (evaluation && !evaluation.reached)
    return (
      <span class="lab-state lab-bad foreign" role="status">
        {evaluation.error
          ? words.failedBefore(evaluation.error.step ?? "", evaluation.error.message)
          : words.notReached}
      </span>
    );
  if (evaluation && evaluation.withoutStub.length > 0)
    return <span class="lab-state foreign">{words.withoutStub(evaluation.withoutStub.join(", "))}</span>;
  return null;
}

interface BenchProps {
  editing: Editing;
  snapshot: Snapshot;
  step: StepPlace;
  evaluation: Evaluation | undefined;
  /** Why there is no evaluation; null if it is to come. */
  absence: string | null;
}

/** What the step sees, and its expressions beside it. */
function Bench({ editing, snapshot, step, evaluation, absence }: BenchProps) {
  const { document } = snapshot;
  const expressions = useMemo(() => expressionsOf(step, mappersOf(document.tree)), [document, step]);
  const caret = useRef<{ pointer: string; at: number } | null>(null);
  const problemOf = (one: StepExpression) =>
    (evaluation?.expressions.get(one.pointer)?.problems.length ?? 0) > 0;
  const chosen = expressionAt(expressions, editing.pointer) ?? expressions.find(problemOf) ?? expressions[0];
  const write = (expression: StepExpression, text: string, typing: boolean) =>
    editing.apply(setValue(editing.document, expression.textPointer, treeFrom(text), editing.orders), {
      typing,
    });
  const insert = (keys: readonly Key[]) => {
    if (!chosen || keys.length === 0) return;
    const place = caret.current?.pointer === chosen.pointer ? caret.current.at : caretOf(editing, chosen);
    write(chosen, withPath(chosen.text, chosen.language, keys, place), false);
  };
  const language = chosen?.language ?? "jsonpath";
  return (
    <div class="lab-bench">
      <section class="lab-sees" aria-label={words.sees}>
        {evaluation?.reached ? (
          <Tree
            label={words.sees}
            json={evaluation.scope}
            cuts={evaluation.cuts}
            pathOf={(keys) => (keys.length === 0 ? "" : pathIn(language, keys))}
            onChoose={({ keys }) => insert(keys)}
            beside={<span class="muted lab-hint">{words.hint}</span>}
          />
        ) : evaluation ? (
          <Empty title={words.notReached} />
        ) : absence === null ? (
          <Loading lines={4} />
        ) : (
          <Empty title={absence} />
        )}
      </section>
      <section class="lab-expressions" aria-label={words.expressions}>
        {expressions.length === 0 && <Empty title={words.noMappings} />}
        <ul>
          {expressions.map((expression) => (
            <ExpressionRow
              key={expression.textPointer}
              expression={expression}
              evaluated={evaluation?.expressions.get(expression.pointer)}
              chosen={expression === chosen}
              readOnly={document.broken || editing.view.state.readOnly}
              onChoose={() => editing.reveal(expression.textPointer)}
              onCaret={(place) => {
                caret.current = { pointer: expression.pointer, at: place };
              }}
              onText={(text) => write(expression, text, true)}
            />
          ))}
        </ul>
      </section>
    </div>
  );
}

/** The place of the editor's cursor in a expression's text; null if it is at its beginning, where choosing it puts it. */
function caretOf(editing: Editing, expression: StepExpression): number | null {
  const tree = at(editing.document.tree, expression.textPointer);
  const { head } = editing.view.state.selection.main;
  if (!tree || head <= tree.from + 1 || head >= tree.to) return null;
  const before = editing.view.state.sliceDoc(tree.from, head);
  try {
    return (JSON.parse(`${before}"`) as string).length;
  } catch {
    return null;
  }
}
