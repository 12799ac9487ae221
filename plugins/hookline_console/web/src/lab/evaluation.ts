/** What a step sees of a message, and the values of its expressions, while somebody writes them. */

import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Schemas } from "../api/client";
import { Latest } from "../api/latest";
import type { FlowDocument } from "../document/flow_document";
import { type Explained, explainedOf } from "../executions/explained";
import { at, type Json, member, NULL, parse } from "../json/json";
import type { Cut } from "../json/tree";
import { type Choice, type Given, requestOf } from "./messages";

export interface Evaluated {
  value: Json;
  type: string | null;
  problems: readonly Schemas["Problem"][];
  reads: readonly Explained[];
}

export interface Evaluation {
  reached: boolean;
  turns: number;
  error: Schemas["ErrorView"] | null;
  scope: Json;
  cuts: readonly Cut[];
  /** The expressions, by pointer. */
  expressions: ReadonlyMap<string, Evaluated>;
  withoutStub: readonly string[];
}

/** Read the answer of the server. Values are read as text, because numbers may have many digits. */
export function readEvaluation(text: string): Evaluation {
  const view: Schemas["EvaluatedStepView"] = JSON.parse(text);
  const exact = parse(text);
  return {
    reached: view.reached,
    turns: view.turns,
    error: view.error,
    scope: member(exact, "scope") ?? NULL,
    cuts: view.cuts.map(({ pointer, size, shown }) => ({ pointer, size, shown })),
    expressions: new Map(
      view.expressions.map(({ pointer, type, problems, reads }, index) => {
        const valueAt = (rest: string) => at(exact, `/expressions/${index}${rest}`)?.value;
        const exactReads = reads.map((read, place) => explainedOf(read, valueAt(`/reads/${place}`)));
        return [pointer, { value: valueAt("/value") ?? NULL, type, problems, reads: exactReads }];
      }),
    ),
    withoutStub: view.without_stub,
  };
}

async function evaluate(request: string, signal: AbortSignal): Promise<Evaluation> {
  const { data } = await api.POST("/api/v1/evaluate-step", {
    // Only for the types: the request is sent as it is written.
    body: { text: "", step: "" },
    bodySerializer: () => request,
    headers: { "Content-Type": "application/json" },
    parseAs: "text",
    signal,
  });
  return readEvaluation(data as unknown as string);
}

/** What an evaluation is of: a step, by its pointer, and the message that is chosen. */
interface Wanted {
  step: string | undefined;
  choice: Choice | null;
  given: Given | null | undefined;
  /** Which time the message reaches the step. */
  turn: number;
}

/** The last evaluation of a step and a message, or why there is none. */
export interface Shown {
  of: string;
  /** Undefined until there is a first one. */
  value: Evaluation | undefined;
  error: unknown;
}

/** What is shown of a step and a message: nothing yet, if another one was evaluated last. */
export function shownOf(last: Shown, of: string): Shown {
  return last.of === of ? last : { of, value: undefined, error: undefined };
}

const DELAY_MS = 150;
const PATIENCE_MS = 5000;

/** The evaluation of a step, which follows the text. It stays as it was while the text isn't valid JSON. */
export function useEvaluation(document: FlowDocument, { step, choice, given, turn }: Wanted): Shown {
  const [last, setLast] = useState<Shown>({ of: "", value: undefined, error: undefined });
  const of = JSON.stringify([step, choice]);
  const asked = useRef(of);
  const latest = useRef<Latest<Shown> | null>(null);
  useEffect(() => {
    latest.current = new Latest<Shown>({
      delayMs: DELAY_MS,
      patienceMs: PATIENCE_MS,
      done: setLast,
      // Only what was asked for last is reported.
      failed: (error) => setLast((before) => ({ ...shownOf(before, asked.current), error })),
    });
    return () => latest.current?.stop();
  }, []);
  const request = step === undefined || !given ? null : requestOf(document.text, given, { step, turn });
  useEffect(() => {
    if (request === null || document.broken) return;
    asked.current = of;
    latest.current?.ask(async (signal) => ({ of, value: await evaluate(request, signal), error: undefined }));
  }, [request, of, document.broken]);
  return shownOf(last, of);
}
