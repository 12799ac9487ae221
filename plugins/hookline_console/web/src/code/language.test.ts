import { CompletionContext } from "@codemirror/autocomplete";
import { EditorState, type TransactionSpec } from "@codemirror/state";
import { expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import { FlowLanguage, templateOf } from "./language";

const language = new FlowLanguage(schema);

/** What is offered at the mark `|` of a text. */
async function offered(marked: string) {
  const pos = marked.indexOf("|");
  const state = EditorState.create({ doc: marked.replace("|", "") });
  const found = await language.complete(new CompletionContext(state, pos, true));
  return { from: found?.from, labels: found?.options.map((option) => option.label) ?? [] };
}

test("the keys of a step that it doesn't have yet", async () => {
  const { labels } = await offered(`{"steps": [{"use": "http.request", "|"}]}`);
  expect(labels).toEqual(expect.arrayContaining(["id", "with", "retry", "when"]));
  expect(labels).not.toContain("use");
});

test("the schema stays as it is for others", async () => {
  const before = JSON.stringify(schema);
  await offered(`{"steps": [{"use": "log", "with": {"|"}}]}`);
  expect(JSON.stringify(schema)).toBe(before);
});

test("the actions, the settings of one, and the values of a setting", async () => {
  expect((await offered(`{"steps": [{"use": "|"}]}`)).labels).toEqual(
    expect.arrayContaining(["map", "http.request", "log"]),
  );
  expect((await offered(`{"steps": [{"use": "http.request", "with": {"|"}}]}`)).labels).toEqual(
    expect.arrayContaining(["url", "method", "headers"]),
  );
  expect((await offered(`{"state": "|"}`)).labels).toEqual(["active", "paused", "stopped"]);
});

test("a completion replaces the whole text, also behind the cursor", async () => {
  const text = `{"steps": [{"use": "mapper", "id": "a"}]}`;
  const state = EditorState.create({ doc: text });
  const pos = text.indexOf("mapper") + 2;
  const found = await language.complete(new CompletionContext(state, pos, true));
  const map = found?.options.find((option) => option.label === "map");
  const apply = map?.apply as (...args: unknown[]) => void;
  let made = "";
  const view = { state, dispatch: (spec: TransactionSpec) => (made = state.update(spec).newDoc.toString()) };
  apply(view, map, found?.from, pos);
  expect(made).toBe(`{"steps": [{"use": "map", "id": "a"}]}`);
});

test("what is typed is compared without its quotes", async () => {
  const marked = `{"steps": [{"use": "ma|"}]}`;
  expect((await offered(marked)).from).toBe(marked.indexOf("ma|"));
});

test("the docs of an action and of a setting", async () => {
  const text = `{"steps": [{"use": "http.request", "with": {"url": "https://a"}}]}`;
  const found = await language.describe(text, text.indexOf("http.request") + 2);
  expect(found).toMatchObject({ text: "Send an HTTP request.", from: text.indexOf('"http.request"') });
  expect(await language.describe("", 0)).toBeNull();
});

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: these are the fields of snippets
test.each([
  ['"use": "$1"', '"use": "#{}"'],
  ['"a": {$1}', '"a": \\{#{}\\}'],
  ['"state": "${1:active}"', '"state": "#{active}"'],
  ['"\\$schema": $1', '"$schema": #{}'],
  ['"a": ${1:{\\}}', '"a": #{\\{\\}}'],
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: as said above
])("%s is the template %s", (snippet, template) => {
  expect(templateOf(snippet)).toBe(template);
});
