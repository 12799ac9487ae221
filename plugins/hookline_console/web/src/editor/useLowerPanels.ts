import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { type Backtesting, useBacktest } from "../backtest/BacktestPanel";
import type { Editing } from "../code/editing";
import { stepById } from "../document/flow_document";
import type { Choice } from "../lab/messages";
import { type Message, useMessage } from "../lab/useMessage";
import type { RanStep } from "../picture/trace";
import { failedAt } from "../picture/trace";
import { type CaseRuns, useCaseRuns } from "../trying/CasesPanel";
import { stateOf } from "../trying/tried_run";
import { type Trying, useTrying } from "../trying/useTrying";

export const PANELS = ["problems", "lab", "try", "cases", "backtest"] as const;
export type PanelName = (typeof PANELS)[number];

/** What the picture shows besides the flow. */
export interface Overlay {
  /** The path of a run. */
  ran?: { steps: readonly RanStep[]; succeeded: boolean };
  /** The pointers of the steps and branches that no case reaches. */
  uncovered?: ReadonlySet<string>;
}

/** The panels below the text and the picture. */
export interface LowerPanelsState {
  flowId: string;
  /** Whether the flow is served. */
  exists: boolean;
  tab: PanelName;
  open: (tab: PanelName) => void;
  message: Message;
  /** Which time the message reaches the step that the URL names. */
  turn: number;
  trying: Trying;
  cases: CaseRuns;
  backtesting: Backtesting;
  overlay: Overlay | null;
}

/** The state of the panels, which stays while another one is shown. The URL may name a panel, a message and a step. */
export function useLowerPanels(flowId: string, exists: boolean, editing: Editing | null): LowerPanelsState {
  const { query } = useLocation();
  const [tab, setTab] = useState<PanelName>(PANELS.find((each) => each === query.tab) ?? "problems");
  const [used, setUsed] = useState(tab !== "problems");
  const message = useMessage(flowId, { exists, first: choiceOf(query), used });
  const open = (to: PanelName) => {
    setTab(to);
    if (to !== "problems") setUsed(true);
  };
  const trying = useTrying(editing, message);
  const cases = useCaseRuns(editing, message);
  const backtesting = useBacktest(editing);
  const step = query.step ?? "";
  useEffect(() => {
    const id = step.slice(step.lastIndexOf("/") + 1).replace(/\[\d+\]$/, "");
    const place = editing && stepById(editing.document, id);
    if (place) editing.reveal(place.pointer);
  }, [editing]);
  const text = editing?.document.text;
  const overlay = useMemo(() => overlayOf(tab, text, trying, cases), [tab, text, trying.tried, cases.ran]);
  const turn = Number(/\[(\d+)\]/.exec(step)?.[1] ?? 0);
  return { flowId, exists, tab, open, message, turn, trying, cases, backtesting, overlay };
}

function choiceOf({ execution, request, case: name }: Readonly<Record<string, string>>): Choice | null {
  if (execution) return { kind: "execution", id: execution };
  if (request) return { kind: "request", id: request };
  return name ? { kind: "case", id: name } : null;
}

/** What the picture shows of a panel, unless the text has changed since. */
function overlayOf(
  tab: PanelName,
  text: string | undefined,
  { tried }: Trying,
  { ran }: CaseRuns,
): Overlay | null {
  if (tab === "try" && tried?.text === text && tried) {
    const { steps, error } = tried.view;
    return {
      ran: { steps: [...steps, ...failedAt(error?.step)], succeeded: stateOf(tried.view) === "succeeded" },
    };
  }
  if (tab === "cases" && ran && ran.text === text)
    return { uncovered: new Set(ran.result.missed.map(({ pointer }) => pointer)) };
  return null;
}
