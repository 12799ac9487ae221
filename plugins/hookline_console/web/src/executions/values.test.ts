import { expect, test } from "vitest";
import { parse, print } from "../json/json";
import { downloadUrl, extended, partOf, readValues, withRest } from "./values";

const VALUES = {
  json: parse('{"input": null, "output": {"text": "abc", "list": [1, 2]}}'),
  cuts: [
    { pointer: "/output/text", size: 7, shown: 3 },
    { pointer: "/output/list", size: 4, shown: 2 },
  ],
};

const rest = (value: string, ...cuts: object[]) =>
  readValues(`{"value": ${value}, "cuts": ${JSON.stringify(cuts)}}`);

test("the rest of a text is added, and what is still left out is told", () => {
  const cut = { pointer: "/output/text", size: 7, shown: 3 };
  const more = withRest(VALUES, cut, rest('"de"', { pointer: "/output/text", size: 7, offset: 3, shown: 2 }));
  expect(print(partOf(more, "output").json, "")).toBe('{"text": "abcde", "list": [1, 2]}');
  expect(more.cuts.find((one) => one.pointer === "/output/text")).toMatchObject({ size: 7, shown: 5 });
});

test("once everything is there, nothing is left out", () => {
  const cut = { pointer: "/output/list", size: 4, shown: 2 };
  const sent = rest(
    '[3, {"note": "x"}]',
    { pointer: "/output/list", size: 4, offset: 2, shown: 2 },
    { pointer: "/output/list/3/note", size: 9000, offset: 0, shown: 1 },
  );
  const more = withRest(VALUES, cut, sent);
  expect(print(partOf(more, "output").json, "")).toBe('{"text": "abc", "list": [1, 2, 3, {"note": "x"}]}');
  expect(partOf(more, "output").cuts.map((one) => one.pointer)).toEqual(["/text", "/list/3/note"]);
});

test("two values that are continued at once both have their rest", () => {
  const [text, list] = VALUES.cuts;
  if (!text || !list) throw new Error("they are above");
  const first = extended(null, VALUES, text, rest('"defg"'));
  const both = extended(first, VALUES, list, rest("[3, 4]"));
  expect(print(partOf(both.values, "output").json, "")).toBe('{"text": "abcdefg", "list": [1, 2, 3, 4]}');
});

test("what follows is added once, however often it was asked for", () => {
  const cut = { pointer: "/output/text", size: 7, shown: 3 };
  const once = withRest(VALUES, cut, rest('"defg"'));
  expect(withRest(once, cut, rest('"defg"'))).toBe(once);
});

test("a download names the step as it is", () => {
  expect(downloadUrl({ execution: "1-2", step: "lines[3]/post", attempt: 2 }, "/output/a b")).toBe(
    "/api/v1/executions/1-2/values/download?pointer=%2Foutput%2Fa+b&step=lines%5B3%5D%2Fpost&attempt=2",
  );
});
