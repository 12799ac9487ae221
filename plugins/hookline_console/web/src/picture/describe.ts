/** What the picture says about a step, in the viewer's language. */

import { texts } from "../texts";
import type { ChartList, ChartStep } from "./chart";
import { stepsInside } from "./folding";

const words = texts.flows.picture;

/** The second line of a step's box. */
export function subtitle(step: ChartStep): string {
  switch (step.kind) {
    case "switch":
      return step.everyCase ? words.everyCase : words.firstCase;
    case "foreach":
      return words.each(step.subject ?? "", step.concurrency);
    case "parallel":
      return words.branches(step.lists.length);
    case "try":
      return words.try;
    case "call":
      return step.starts ? words.starts(step.subject ?? "") : words.calls(step.subject ?? "");
    default:
      return step.use;
  }
}

/** The label above a list; empty for one that needs none. */
export function listLabel(list: ChartList): string {
  switch (list.kind) {
    case "case":
      return list.label === "" ? words.otherwise : words.case(list.label);
    case "branch":
      return list.label;
    case "item":
      return "";
    default:
      return words[list.kind];
  }
}

/** The numbers of a step, such as "25 succeeded, 1 failed". */
export function countsText(counts: Readonly<Record<string, number>> | undefined): string {
  return Object.entries(counts ?? {})
    .map(([state, count]) => words.counted(count, stateName(state)))
    .join(", ");
}

/** Everything about a step, for screen readers. */
export function description(
  step: ChartStep,
  folded: boolean,
  counts: Readonly<Record<string, number>> | undefined,
  state: string | undefined,
  isUncovered = false,
): string {
  const parts = [step.id, subtitle(step)];
  if (step.when !== undefined) parts.push(words.onlyIf(step.when));
  if (step.continues) parts.push(words.continues);
  if (folded) parts.push(words.inside(stepsInside(step)));
  if (state !== undefined) parts.push(words.inExecution(stateName(state)));
  if (isUncovered) parts.push(words.uncovered);
  const numbers = countsText(counts);
  if (numbers !== "") parts.push(numbers);
  return parts.join("; ");
}

export function stateName(state: string): string {
  const names: Readonly<Record<string, string>> = texts.states;
  return (names[state] ?? state).toLowerCase();
}

/** A text in so many characters at most. */
export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text;
}
