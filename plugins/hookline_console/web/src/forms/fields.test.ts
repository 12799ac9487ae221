import { describe, expect, test } from "vitest";
import schema from "../../../../../flows/flow.schema.json";
import type { Change } from "../document/edits";
import { readDocument } from "../document/flow_document";
import { ordersOf } from "../document/format";
import { textAfter } from "../document/samples";
import { at, type Tree, textOf, toJson, treeFrom } from "../document/tree";
import { type FormHost, problemsAt } from "./FormContext";
import { fieldsOf, inputsOf } from "./fields";
import type { Schema } from "./schema";
import { begin, codeOf, inputFor, numberFrom, withCode } from "./values";
import { focusAfterRemoval, freeName, moveItem, write } from "./writing";

const language = schema as unknown as Schema;
const definitions = language.$defs ?? {};
const orders = ordersOf(schema);
const fields = (step: unknown) =>
  fieldsOf(definitions.Step ?? {}, treeFrom(step), definitions, { evaluated: false });
const settings = (use: string, given: object = {}) => {
  const field = fields({ use, with: given }).find(({ name }) => name === "with");
  const [input] = field?.inputs ?? [];
  const inner = input?.kind === "object" ? input.schema : {};
  return fieldsOf(inner, treeFrom(given), definitions, { evaluated: true });
};
const kinds = (found: ReturnType<typeof fields>, name: string) =>
  found
    .find((field) => field.name === name)
    ?.inputs.map((input) => (input.kind === "expression" ? input.language : input.kind));
const EXPRESSIONS = ["jsonpath", "jinja", "jmespath", "jsonata"];

describe("the form of a step", () => {
  test("has the keys of its block", () => {
    expect(fields({ foreach: "$.body" }).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["id", "when", "foreach", "steps", "concurrency", "as"]),
    );
    expect(fields({ foreach: "$.body" }).some(({ name }) => name === "use")).toBe(false);
    expect(kinds(fields({ parallel: {} }), "parallel")).toEqual(["map"]);
    expect(kinds(fields({ try: [] }), "catch")).toEqual(["steps"]);
  });

  test("has the settings of its action, also in an older version", () => {
    for (const use of ["http.request", "http.request@1"]) {
      const found = settings(use);
      expect(found.find(({ name }) => name === "url")).toMatchObject({ required: true, known: true });
      expect(found.find(({ name }) => name === "method")).toMatchObject({ placeholder: "GET" });
      expect(kinds(found, "headers")).toEqual(expect.arrayContaining(["map", "jsonpath", "jinja"]));
      expect(kinds(found, "redirects")).toEqual(
        expect.arrayContaining(["number", ...EXPRESSIONS.slice(0, 2)]),
      );
    }
  });

  test("offers a credential only where there is one", () => {
    expect(fields({ use: "http.request" }).some(({ name }) => name === "credential")).toBe(true);
    expect(fields({ use: "map" }).some(({ name }) => name === "credential")).toBe(false);
  });

  test("a setting of any kind may be an expression, and a constant may not", () => {
    expect(kinds(settings("http.request"), "json")).toEqual(
      expect.arrayContaining(["text", "map", "jsonpath"]),
    );
    expect(inputsOf({}, definitions).some(({ kind }) => kind === "expression")).toBe(false);
  });

  test("shows what the schema doesn't know", () => {
    const found = fields({ use: "map", colour: "red" }).find(({ name }) => name === "colour");
    expect(found).toMatchObject({ known: false, required: false });
  });

  test("`when` and `otherwise` of a case exclude one another", () => {
    const found = fieldsOf(definitions.CaseDocument ?? {}, treeFrom({}), definitions, { evaluated: false });
    expect(found.find(({ name }) => name === "otherwise")?.excludes).toEqual(["when"]);
  });

  test("the verification of a webhook depends on its scheme", () => {
    const verify = definitions.Verify ?? {};
    const [text, object] = inputsOf(verify, definitions);
    expect([text?.kind, object?.kind]).toEqual(["choice", "object"]);
    const inner = object?.kind === "object" ? object.schema : {};
    const names = (scheme: string) =>
      fieldsOf(inner, treeFrom({ scheme }), definitions, { evaluated: false }).map(({ name }) => name);
    expect(names("none")).toEqual(["scheme"]);
    expect(names("api-key")).toEqual(["scheme", "header", "query", "prefix", "credential"]);
  });
});

describe("a value", () => {
  const inputs = inputsOf({ anyOf: [{ type: "string" }, { $ref: "#/$defs/Expression" }] }, definitions);
  const kind = (value: unknown) => {
    const input = inputFor(inputs, treeFrom(value));
    return input.kind === "expression" ? input.language : input.kind;
  };

  test.each([
    ["plain", "text"],
    ["$.body.id", "jsonpath"],
    ["$5", "text"],
    ["Order {{ body.id }}", "jinja"],
    [{ jsonata: "body.id" }, "jsonata"],
    [{ jmespath: "body.id", default: 1 }, "jmespath"],
    [{ literal: "$.body" }, "literal"],
    [7, "json"],
    ["a\rb", "json"],
  ])("%j is shown as %s", (value, expected) => {
    expect(kind(value)).toBe(expected);
  });

  test("becomes an expression of the path that it was, and a text that isn't read as one", () => {
    const become = (value: unknown, to: string) => {
      const input = inputs.find((each) => (each.kind === "expression" ? each.language : each.kind) === to);
      return toJson(begin(input ?? { kind: "json" }, treeFrom(value), inputs, definitions));
    };
    expect(become("$.body.id", "jinja")).toBe("{{ body.id }}");
    expect(become("{{ body.id }}", "jsonata")).toEqual({ jsonata: "body.id" });
    expect(become({ jsonata: "body.id" }, "jsonpath")).toBe("$.body.id");
    expect(become("Some words", "jsonpath")).toBe("$.body");
    expect(become("$.body.id", "text")).toEqual({ literal: "$.body.id" });
  });

  test("keeps its language while it is typed", () => {
    expect(withCode(treeFrom("$.body"), "jsonpath", "$.bo")).toMatchObject({ json: '"$.bo"' });
    expect(withCode(treeFrom("$.body"), "jsonpath", "bo")).toBeUndefined();
    const wrapped = withCode(treeFrom({ jsonata: "a", default: 1 }), "jsonata", "b") as Tree;
    expect(toJson(wrapped)).toEqual({ jsonata: "b", default: 1 });
    expect(codeOf(wrapped, "jsonata")).toBe("b");
  });

  test("of very many parts is shown as JSON", () => {
    const any = inputsOf({}, definitions);
    expect(inputFor(any, treeFrom([1, 2])).kind).toBe("list");
    expect(inputFor(any, treeFrom(Array(300).fill(1))).kind).toBe("json");
  });

  test("of a number keeps its digits", () => {
    expect(numberFrom("12345678901234567890.10")).toMatchObject({ json: "12345678901234567890.10" });
    for (const text of ["", "1.", "01", "0x1", "one"]) expect(numberFrom(text)).toBeUndefined();
  });
});

describe("a form writes", () => {
  const document = readDocument(
    '{"id": "f", "steps": [{"id": "way", "switch": [{"when": "{{ body.x }}", "steps": []}]}], "redact": ["$.a", "$.b"]}',
  );
  const written = (change: ReturnType<typeof write>) => {
    const { text } = document;
    return change && JSON.parse(text.slice(0, change.from) + change.insert + text.slice(change.to));
  };

  test("one of two members that exclude one another", () => {
    const at = "/steps/0/switch/0/otherwise";
    const made = written(
      write(document, at, treeFrom(true), { orders, schema: language, excludes: ["when"] }),
    );
    expect(made.steps[0].switch[0]).toEqual({ otherwise: true, steps: [] });
  });

  test("the language of an expression into the list of those that the flow uses", () => {
    const made = written(
      write(document, "/steps/0/when", treeFrom({ jsonata: "true" }), { orders, schema: language }),
    );
    expect(made.mappers).toEqual(["jsonata"]);
    expect(made.steps[0].when).toEqual({ jsonata: "true" });
  });

  test("the items of a list in another order", () => {
    expect(written(moveItem(document, "/redact/1", -1, orders)).redact).toEqual(["$.b", "$.a"]);
    expect(moveItem(document, "/redact/1", 1, orders)).toBeNull();
  });

  test("the order of cases and the absence of one, and steps that name no id keep theirs", () => {
    const log = (message: string) => ({ use: "log", with: { message } });
    const cases = ["one", "two"].map((message) => ({ when: "{{ x }}", steps: [log(message)] }));
    const flow = readDocument(JSON.stringify({ id: "f", steps: [{ id: "s", switch: cases }] }));
    const ids = (change: Change | null) =>
      readDocument(textAfter(flow.text, change)).steps.map(({ id, step }) => [
        id,
        textOf(at(step, "/with/message")),
      ]);
    expect(ids(moveItem(flow, "/steps/0/switch/1", -1, orders)).slice(1)).toEqual([
      ["log_2", "two"],
      ["log", "one"],
    ]);
    expect(ids(write(flow, "/steps/0/switch/0", undefined, { orders, schema: language })).slice(1)).toEqual([
      ["log_2", "two"],
    ]);
  });

  test("and the focus goes to what is in the place of a removed part, or before it, or around it", () => {
    const list = treeFrom([1, 2, 3]);
    expect(focusAfterRemoval(list, "/a/0")).toBe("/a/0");
    expect(focusAfterRemoval(list, "/a/2")).toBe("/a/1");
    expect(focusAfterRemoval(treeFrom([1]), "/a/0")).toBe("/a");
    const map = treeFrom({ x: 1, "y/z": 2 });
    expect(focusAfterRemoval(map, "/a/x")).toBe("/a/y~1z");
    expect(focusAfterRemoval(map, "/a/y~1z")).toBe("/a/x");
    expect(focusAfterRemoval(treeFrom({ x: 1 }), "/a/x")).toBe("/a");
  });

  test("a name that isn't taken", () => {
    expect(freeName(at(document.tree, "/steps/0"), "id")).toBe("id_2");
    expect(freeName(undefined, "id")).toBe("id");
  });
});

test("a problem is shown at its field, and one of what is in a group at the field inside", () => {
  const problem = (pointer: string) => ({ message: pointer, code: "invalid_value", pointer });
  const problems = ["/steps/0/with/url", "/steps/0/with/headers/a", "/steps/0"].map(problem);
  const host = { snapshot: { checked: { problems } } } as unknown as FormHost;
  const at = (pointer: string, inside: boolean) =>
    problemsAt(host, pointer, { inside }).map(({ message }) => message);
  expect(at("/steps/0/with/url", true)).toEqual(["/steps/0/with/url"]);
  expect(at("/steps/0/with/headers", true)).toEqual(["/steps/0/with/headers/a"]);
  expect(at("/steps/0", false)).toEqual(["/steps/0"]);
  expect(at("/steps/0/with/u", true)).toEqual([]);
});
