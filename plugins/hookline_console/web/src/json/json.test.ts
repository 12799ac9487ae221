import { expect, test } from "vitest";
import { at, type Json, parse, path, print, replaceAt } from "./json";

test("numbers keep all of their digits", () => {
  for (const number of [
    "12345678901234567890",
    "1.10",
    "0.1000000000000000055511151231257827",
    "-0",
    "1E400",
  ]) {
    expect(print(parse(`[${number}]`), "")).toBe(`[${number}]`);
  }
});

test("keys keep their order, and none is lost", () => {
  const text = '{"b": 1, "10": 2, "2": 3, "__proto__": {"x": 4}, "constructor": 5, "": 6}';
  expect(print(parse(text), "")).toBe(text);
});

test("what is printed is what was read, on one line and indented", () => {
  const text = '{"list": [1, {"a": "\\u202e\\ud800 \\"x\\"", "none": null}, [], {}], "yes": true}';
  expect(JSON.parse(print(parse(text)))).toEqual(JSON.parse(text));
  expect(JSON.parse(print(parse(text), ""))).toEqual(JSON.parse(text));
  expect(print(parse('{"a": [1]}'))).toBe('{\n  "a": [\n    1\n  ]\n}');
});

test("a text that is no JSON is an error with its place", () => {
  expect(() => parse('{\n "a": ,\n}')).toThrow("2:7");
  for (const wrong of ["", "{", "[1,]", "nul", "1 2", '{"a" 1}', "// x\n1"]) {
    expect(() => parse(wrong), wrong).toThrow(SyntaxError);
  }
});

test("deep nesting is read and printed", () => {
  const deep = "[".repeat(256) + "]".repeat(256);
  expect(print(parse(deep), "")).toBe(deep);
});

test("a pointer leads to a value and to its keys", () => {
  const json = parse('{"a/b": [{"m~n": 1}], "x": "text"}');
  expect(at(json, "/a~1b/0/m~0n")).toEqual({
    value: { kind: "number", source: "1" },
    keys: ["a/b", 0, "m~n"],
  });
  expect(at(json, "/a~1b/7")).toBeUndefined();
  expect(at(json, "/x/0")).toBeUndefined();
});

test("a value is replaced at its pointer", () => {
  const more = (before: Json): Json =>
    before.kind === "string" ? { ...before, text: `${before.text} and the rest` } : before;
  expect(print(replaceAt(parse('{"a": ["x", "y"]}'), "/a/1", more), "")).toBe(
    '{"a": ["x", "y and the rest"]}',
  );
});

test("paths are those of expressions", () => {
  expect(path("steps.order", ["body", "lines", 0, "a b", "c'd", "größe"])).toBe(
    "steps.order.body.lines[0]['a b'][\"c'd\"].größe",
  );
});
