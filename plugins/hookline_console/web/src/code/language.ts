/** The language of flows in the editor: completion and docs from its JSON Schema, by VS Code's language service. */

import {
  type Completion,
  type CompletionContext,
  type CompletionResult,
  snippet,
} from "@codemirror/autocomplete";
import { type EditorView, hoverTooltip } from "@codemirror/view";
import {
  type CompletionItem,
  getLanguageService,
  InsertTextFormat,
  type JSONDocument,
  type LanguageService,
  type MarkedString,
  type MarkupContent,
  TextDocument,
} from "vscode-json-languageservice";

const URI = "hookline:/flow.json";
/** Flows name their schema by a path, which is always this one. */
const SCHEMA = "hookline:/flow.schema.json";

/** A language service that knows the schema of flows. */
export class FlowLanguage {
  private readonly service: LanguageService;
  private parsed: { text: string; document: TextDocument; json: JSONDocument } | null = null;

  constructor(schema: object) {
    const text = JSON.stringify(schema);
    this.service = getLanguageService({
      schemaRequestService: async () => text,
      workspaceContext: { resolveRelativePath: () => SCHEMA },
      clientCapabilities: {
        textDocument: {
          completion: {
            completionItem: { documentationFormat: ["plaintext"], commitCharactersSupport: false },
          },
          hover: { contentFormat: ["plaintext"] },
        },
      },
    });
    // The service changes the schema that it gets: it puts definitions in the place of references to them.
    const own = JSON.parse(text);
    this.service.configure({ validate: false, schemas: [{ uri: SCHEMA, fileMatch: ["*"], schema: own }] });
  }

  /** The members and values that the schema allows at the cursor. */
  async complete({ state, pos }: CompletionContext): Promise<CompletionResult | null> {
    const { document, json } = this.read(state.doc.toString());
    const found = await this.service.doComplete(document, document.positionAt(pos), json);
    const options: Completion[] = [];
    let begin: number | undefined;
    for (const item of found?.items ?? []) {
      const edit = item.textEdit;
      if (!edit || !("range" in edit)) continue;
      begin ??= document.offsetAt(edit.range.start);
      options.push(completionOf(item, edit.newText));
    }
    if (begin === undefined) return null;
    // What is typed is compared with names, which have no quotes.
    const isQuoted = state.sliceDoc(begin, begin + 1) === '"' && pos > begin;
    return { from: isQuoted ? begin + 1 : begin, options, validFor: /^[\w.$@-]*$/ };
  }

  /** The docs of the value at a place. */
  async describe(text: string, offset: number): Promise<{ from: number; to: number; text: string } | null> {
    const { document, json } = this.read(text);
    const found = await this.service.doHover(document, document.positionAt(offset), json);
    const described = found && unescaped(textOf(found.contents)).trim();
    if (!described || !found?.range) return null;
    const { start, end } = found.range;
    return { from: document.offsetAt(start), to: document.offsetAt(end), text: described };
  }

  private read(text: string) {
    if (this.parsed?.text !== text) {
      const document = TextDocument.create(URI, "json", 1, text);
      this.parsed = { text, document, json: this.service.parseJSONDocument(document) };
    }
    return this.parsed;
  }
}

function completionOf(item: CompletionItem, newText: string): Completion {
  const label = item.label.replace(/^"(.*)"$/, "$1");
  const docs = typeof item.documentation === "string" ? item.documentation : item.documentation?.value;
  const template = item.insertTextFormat === InsertTextFormat.Snippet ? templateOf(newText) : null;
  return {
    label,
    type: item.kind === 10 ? "property" : "enum",
    ...(docs && { info: docs }),
    apply: (view: EditorView, completion: Completion, from: number, to: number) => {
      const start = view.state.sliceDoc(from - 1, from) === '"' ? from - 1 : from;
      // The whole name or text is replaced, and not only what stands before the cursor.
      const [rest = ""] = /^[\w.$@-]*"?/.exec(view.state.sliceDoc(to, view.state.doc.lineAt(to).to)) ?? [];
      const end = to + rest.length;
      if (template !== null) return snippet(template)(view, completion, start, end);
      view.dispatch({ changes: { from: start, to: end, insert: newText }, userEvent: "input.complete" });
    },
  };
}

/** A snippet of the Language Server Protocol as one of CodeMirror: `$1` and `${1:text}` are its fields. */
export function templateOf(text: string): string {
  return text.replace(
    /\\([\\$}])|\$\{\d+:((?:\\.|[^}\\])*)\}|\$\{\d+\}|\$\d+|[{}]/g,
    (found, escaped, inside) => {
      if (escaped !== undefined) return escaped === "}" ? "\\}" : escaped;
      if (found === "{" || found === "}") return `\\${found}`;
      return `#{${(inside ?? "").replace(/\\(.)/g, "$1").replace(/[{}]/g, "\\$&")}}`;
    },
  );
}

function textOf(contents: MarkupContent | MarkedString | readonly MarkedString[]): string {
  if (Array.isArray(contents)) return contents.map(textOf).join("\n\n");
  return typeof contents === "string" ? contents : (contents as MarkupContent).value;
}

/** A text without the escapes of Markdown, which the language service writes into every text. */
function unescaped(markdown: string): string {
  return markdown.replace(/\\([\\`*_{}[\]()#+\-.!~<>|])/g, "$1");
}

/** Show the docs of what the pointer is over. */
export function docsOnHover(language: FlowLanguage) {
  return hoverTooltip(async (view, offset) => {
    const found = await language.describe(view.state.doc.toString(), offset);
    if (!found) return null;
    return {
      pos: found.from,
      end: found.to,
      above: true,
      create: () => {
        const dom = document.createElement("div");
        dom.className = "code-docs foreign";
        dom.textContent = found.text;
        return { dom };
      },
    };
  });
}
