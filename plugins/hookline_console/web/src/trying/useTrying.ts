import { useEffect, useRef, useState } from "preact/hooks";
import type { Editing } from "../code/editing";
import type { FlowDocument } from "../document/flow_document";
import type { Given } from "../lab/messages";
import type { Message } from "../lab/useMessage";
import {
  continues,
  type Effects,
  hasReached,
  heldResults,
  nextStop,
  obstacleOf,
  runDraft,
  type TriedRun,
  type Wanted,
} from "./tried_run";

export interface Trying {
  tried: TriedRun | null;
  effects: Effects;
  setEffects: (effects: Effects) => void;
  /** The path of the step whose values are shown; empty for the message. */
  chosen: string;
  choose: (path: string) => void;
  /** Run the whole flow. */
  run: () => Promise<void>;
  /** Run until the next step; undefined if there is none. */
  next: (() => Promise<void>) | undefined;
  /** Why real effects allow no next step. */
  obstacle: ReturnType<typeof obstacleOf>;
}

/** The runs of the text in the editor, on the chosen message. */
export function useTrying(editing: Editing | null, message: Message): Trying {
  const [tried, setTriedRun] = useState<TriedRun | null>(null);
  const [effects, setEffects] = useState<Effects>("stubbed");
  const [chosen, choose] = useState("");
  const turn = useRef(0);
  // Nothing goes on once the editor is closed.
  useEffect(() => () => void turn.current++, []);
  const document = editing?.document;
  const wanted = document ? wantedOf(document, message, effects) : null;
  /** Returns null if another run was begun meanwhile. */
  const runUntil = async (until: string | null, last: TriedRun | null, own: number) => {
    if (!wanted) return null;
    const made = await runDraft(wanted, until, last ? heldResults(last) : new Map());
    if (own !== turn.current) return null;
    setTriedRun(made);
    choose(firstChosen(made));
    return made;
  };
  const runOn = async (document: FlowDocument, last: TriedRun | null) => {
    const own = ++turn.current;
    let made = last;
    for (let stop = nextStop(document, last?.until ?? null); stop !== null; stop = nextStop(document, stop)) {
      made = await runUntil(stop, made, own);
      if (made === null || made.view.error !== null || obstacleOf(document, effects, made)) return;
      // The message goes past the steps of a branch that it doesn't take.
      if (hasReached(made, document, stop)) return;
    }
  };
  const last = tried && wanted && continues(tried, wanted) ? tried : null;
  const obstacle = document ? obstacleOf(document, effects, last) : null;
  const hasNext = document !== undefined && nextStop(document, last?.until ?? null) !== null;
  return {
    tried,
    effects,
    setEffects,
    chosen,
    choose,
    run: async () => {
      await runUntil(null, null, ++turn.current);
    },
    next: hasNext && obstacle === null && !last?.view.error ? () => runOn(document, last) : undefined,
    obstacle,
  };
}

function wantedOf(document: FlowDocument, message: Message, effects: Effects): Wanted | null {
  const { choice, given, pins } = message;
  return given.value ? { text: document.text, choice, given: given.value, pins, effects } : null;
}

/** The path of the step that a run shows at first: the one that failed, or the one after which it ended. */
function firstChosen({ until, view }: TriedRun): string {
  const step = until === null ? view.steps.find(({ state }) => state === "failed") : view.steps.at(-1);
  return step?.path ?? "";
}

/** Whether there is a message to run with. */
export function isReady(given: Given | null | undefined): given is Given {
  return given !== null && given !== undefined;
}
