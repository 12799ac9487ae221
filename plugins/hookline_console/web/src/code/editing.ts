/**
 * The editing of one flow: the editor's state, and what the picture, forms and blocks beside it do with it.
 *
 * The text in the editor is the truth. Every change, by whatever means, is a transaction on it, so that there is one
 * history for undoing.
 */

import { isolateHistory, redo, undo } from "@codemirror/commands";
import { Annotation, type Extension, Facet, StateEffect, StateField, Transaction } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import type { Change } from "../document/edits";
import { type FlowDocument, LazyDocument, nearest, stepAround } from "../document/flow_document";
import type { KeyOrders } from "../document/format";
import { pointerAt } from "../document/tree";
import type { Checked } from "./check";
import type { ServerNames } from "./names";

/** The document as it is now. It is read when it is needed, and not at each key. */
export const documentField = StateField.define<FlowDocument>({
  create: ({ doc }) => new LazyDocument(() => doc.toString()),
  update: (before, { docChanged, newDoc }) =>
    docChanged ? new LazyDocument(() => newDoc.toString()) : before,
});

/** The order of the language's keys. */
export const ordersFacet = Facet.define<KeyOrders, KeyOrders>({
  combine: ([orders]) => orders as KeyOrders,
});

export const setChecked = StateEffect.define<Checked>();

/** What the checker last said. It may be about an earlier text while somebody types. */
export const checkedField = StateField.define<Checked | null>({
  create: () => null,
  update: (before, { effects }) => effects.find((effect) => effect.is(setChecked))?.value ?? before,
});

/** Marks a change that was made outside the editor, which everything must follow at once. */
const outside = Annotation.define<boolean>();

/** What is shown beside the editor. */
export interface Snapshot {
  document: FlowDocument;
  checked: Checked | null;
  /** The pointer of the step in which the cursor is. */
  selected: string | null;
}

/**
 * Make a change of the document, and return true if there was one.
 *
 * `typing`: it continues the one before it, as when somebody types in a field; undoing takes back both.
 */
export function applyChange(view: EditorView, change: Change | null, { typing = false } = {}): boolean {
  if (!change || view.state.readOnly) return false;
  const { from, to, insert, pointer } = change;
  view.dispatch({
    changes: { from, to, insert },
    // Only these events of the editor are undone together.
    userEvent: typing ? "input.type.form" : "input.block",
    annotations: [outside.of(true), ...(typing ? [] : [isolateHistory.of("full")])],
  });
  goTo(view, pointer, { typing });
  return true;
}

/** Put the cursor to a value, or to the nearest one that is there. */
function goTo(view: EditorView, pointer: string, { typing = false } = {}): void {
  const found = nearest(view.state.field(documentField), pointer);
  if (!found) return;
  view.dispatch({
    selection: { anchor: found.tree.from },
    effects: EditorView.scrollIntoView(found.tree.from, { y: typing ? "nearest" : "center" }),
    // A selection in the history would part the changes around it.
    annotations: Transaction.addToHistory.of(!typing),
  });
}

/** A text in a field of the form that can't be written into the document yet. */
export interface FieldText {
  text: string;
  /** What the field showed of the document then. Once it shows something else, the text is out of date. */
  shown: string;
  /** What is wrong with it. */
  problem?: string | undefined;
}

export const NO_FIELD_TEXTS: ReadonlyMap<string, FieldText> = new Map();

/** The picture follows after so many milliseconds without a key, so that it costs no key any time. */
const SETTLE_MS = 120;

export class Editing {
  readonly view: EditorView;
  readonly orders: KeyOrders;
  /** The names that the server has, for the text and for the form. */
  readonly names: ServerNames;
  /** The texts of fields of the form that aren't in the document yet, by what the fields are for. */
  fieldTexts = NO_FIELD_TEXTS;
  private readonly watchers = new Set<(snapshot: Snapshot) => void>();
  private readonly textWatchers = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(parent: Element, text: string, orders: KeyOrders, names: ServerNames, extensions: Extension) {
    this.orders = orders;
    this.names = names;
    const publish = EditorView.updateListener.of((update) => {
      if (update.docChanged) for (const watcher of this.textWatchers) watcher();
      const isOutside = update.transactions.some((each) => each.annotation(outside));
      const isChecked = update.startState.field(checkedField) !== update.state.field(checkedField);
      if (isOutside || isChecked || (update.selectionSet && !update.docChanged)) this.publish();
      else if (update.docChanged) this.publishSoon();
    });
    this.view = new EditorView({
      parent,
      doc: text,
      extensions: [ordersFacet.of(orders), documentField, checkedField, publish, extensions],
    });
  }

  get document(): FlowDocument {
    return this.view.state.field(documentField);
  }

  /** The pointer of the value in which the cursor is. */
  get pointer(): string {
    return pointerAt(this.document.tree, this.view.state.selection.main.head);
  }

  get snapshot(): Snapshot {
    const { document, pointer } = this;
    return {
      document,
      checked: this.view.state.field(checkedField),
      selected: stepAround(document, pointer)?.pointer ?? null,
    };
  }

  /** Make a change as `applyChange` does. */
  apply(change: Change | null, options?: { typing?: boolean }): boolean {
    return applyChange(this.view, change, options);
  }

  /** Take back the last change, by whatever means it was made. */
  undo(): void {
    if (undo(this.view)) this.publish();
  }

  redo(): void {
    if (redo(this.view)) this.publish();
  }

  /** Put the cursor to a value, or to the nearest one that is there. */
  reveal(pointer: string, { focus = false } = {}): void {
    goTo(this.view, pointer);
    if (focus) this.view.focus();
  }

  /** Replace the whole text, such as by another draft. It can be undone. */
  replace(text: string): void {
    this.view.dispatch({
      changes: { from: 0, to: this.view.state.doc.length, insert: text },
      annotations: [outside.of(true), isolateHistory.of("full")],
    });
  }

  /** Keep the text of a field, also while its form isn't shown; null once it is in the document, or was given up. */
  keepFieldText(field: string, text: FieldText | null): void {
    if (text === null && !this.fieldTexts.has(field)) return;
    const texts = new Map(this.fieldTexts);
    if (text === null) texts.delete(field);
    else texts.set(field, text);
    this.setFieldTexts(texts);
  }

  setFieldTexts(texts: ReadonlyMap<string, FieldText>): void {
    if (texts === this.fieldTexts) return;
    this.fieldTexts = texts;
    for (const watcher of this.textWatchers) watcher();
    this.publish();
  }

  /** Call a function whenever something has changed that is shown. Returns the function that ends this. */
  watch(watcher: (snapshot: Snapshot) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  /** Call a function after each change of the text, or of the texts of fields. Returns the function that ends this. */
  onText(watcher: () => void): () => void {
    this.textWatchers.add(watcher);
    return () => this.textWatchers.delete(watcher);
  }

  close(): void {
    clearTimeout(this.timer);
    this.watchers.clear();
    this.textWatchers.clear();
    this.view.destroy();
  }

  private publish(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { snapshot } = this;
    for (const watcher of this.watchers) watcher(snapshot);
  }

  private publishSoon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.publish(), SETTLE_MS);
  }
}
