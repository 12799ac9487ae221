/** Wrapped lines that go on below their first character, and not at the edge. */

import { type Extension, RangeSetBuilder } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, ViewPlugin } from "@codemirror/view";

/** The deepest indentation, in columns; what is deeper goes on there. */
const DEEPEST = 40;
/** How much further the wrapped part is indented. */
const FURTHER = 2;
/** CodeMirror's own padding of a line, in pixels. */
const PADDING = 6;

const columns = Array.from({ length: DEEPEST + 1 }, (_, index) => index);
const decorations = columns.map((column) => Decoration.line({ class: `code-indent-${column}` }));

const classes = EditorView.theme(
  Object.fromEntries(
    columns.map((column) => [
      `.cm-line.code-indent-${column}`,
      {
        textIndent: `-${column + FURTHER}ch`,
        paddingLeft: `calc(${column + FURTHER}ch + ${PADDING}px)`,
      },
    ]),
  ),
);

/** The decorations of the lines that are drawn. */
function indented(view: EditorView): DecorationSet {
  const made = new RangeSetBuilder<Decoration>();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to; ) {
      const line = view.state.doc.lineAt(at);
      const column = Math.min(line.text.search(/\S|$/), DEEPEST);
      made.add(line.from, line.from, decorations[column] as Decoration);
      at = line.to + 1;
    }
  }
  return made.finish();
}

export const hangingIndent: Extension = [
  classes,
  ViewPlugin.define(
    (view) => ({
      decorations: indented(view),
      update(update) {
        if (update.docChanged || update.viewportChanged) this.decorations = indented(update.view);
      },
    }),
    { decorations: (plugin) => plugin.decorations },
  ),
];
