/**
 * The document of a flow as it is being written. Its text is the truth: all else is read from it, also while it isn't
 * valid JSON.
 */

import { type Chart, chartOf } from "../picture/chart";
import { parentOf } from "./pointer";
import { type StepPlace, stepsOf } from "./steps";
import { at, memberOf, type Parsed, parse, type Tree, textOf, toJson } from "./tree";

export interface FlowDocument {
  text: string;
  /** Null if the text has no value at all. */
  tree: Tree | null;
  /** True if the text isn't valid JSON; the tree then has what could be read. */
  broken: boolean;
  /** Its steps, in the order of the text. */
  steps: readonly StepPlace[];
}

/** Read a document. What is read from its text is read when it is first needed. */
export function readDocument(text: string): FlowDocument {
  return new LazyDocument(() => text);
}

/** The same for a text that itself takes a while to get. */
export class LazyDocument implements FlowDocument {
  private readonly read: () => string;
  private known: string | undefined;
  private parsed: Parsed | undefined;
  private places: readonly StepPlace[] | undefined;

  constructor(read: () => string) {
    this.read = read;
  }

  get text(): string {
    this.known ??= this.read();
    return this.known;
  }

  get tree(): Tree | null {
    return this.parse().tree;
  }

  get broken(): boolean {
    return this.parse().broken;
  }

  get steps(): readonly StepPlace[] {
    this.places ??= stepsOf(this.tree);
    return this.places;
  }

  private parse(): Parsed {
    this.parsed ??= parse(this.text);
    return this.parsed;
  }
}

export function flowId(document: FlowDocument): string {
  return textOf(memberOf(document.tree, "id")) ?? "";
}

export function stepAt(document: FlowDocument, pointer: string): StepPlace | undefined {
  return document.steps.find((step) => step.pointer === pointer);
}

export function stepById(document: FlowDocument, id: string): StepPlace | undefined {
  return document.steps.find((step) => step.id === id);
}

/** The step in which a value is, also if it is the step itself. */
export function stepAround(document: FlowDocument, pointer: string): StepPlace | undefined {
  const places = new Map(document.steps.map((step) => [step.pointer, step]));
  for (let around = pointer; around !== ""; around = parentOf(around)) {
    const found = places.get(around);
    if (found) return found;
  }
  return undefined;
}

/** The block in which a list of steps is; null for the lists of the flow itself. */
export function blockAround(document: FlowDocument, list: string): StepPlace | null {
  return stepAround(document, parentOf(list)) ?? null;
}

/** The innermost value that exists at a pointer or around it. */
export function nearest(document: FlowDocument, pointer: string): { pointer: string; tree: Tree } | null {
  for (let around = pointer; ; around = parentOf(around)) {
    const tree = at(document.tree, around);
    if (tree) return { pointer: around, tree };
    if (around === "") return null;
  }
}

/** The picture of a document. */
export function chartOfDocument(document: FlowDocument): Chart {
  const ids = Object.fromEntries(document.steps.map(({ pointer, id }) => [pointer, id]));
  return chartOf(document.tree ? toJson(document.tree) : {}, ids);
}
