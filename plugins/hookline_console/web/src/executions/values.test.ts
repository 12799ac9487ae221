import { expect, test } from "vitest";
import { parse, print } from "../json/json";
import { downloadUrl, partOf, readValues, withRest } from "./values";

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

test("a download names the step as it is", () => {
  expect(downloadUrl({ execution: "1-2", step: "lines[3]/post", attempt: 2 }, "/output/a b")).toBe(
    "/api/v1/executions/1-2/values/download?pointer=%2Foutput%2Fa+b&step=lines%5B3%5D%2Fpost&attempt=2",
  );
});
