import { expect, test } from "vitest";
import { linesOf, placeOf, type Source, sourceOf } from "./source";

function text(source: Source): string {
  return source.lines
    .map((line) => "  ".repeat(line.indent) + line.tokens.map((token) => token.text).join(""))
    .join("\n");
}

test("short lists and objects are in one line, and others in several", () => {
  const json = '{"id":"f","tags":["a","b"],"none":{},"steps":[{"id":"one","with":{"body":"$.body"}}]}';
  expect(text(sourceOf(json))).toBe(
    [
      "{",
      '  "id": "f",',
      '  "tags": ["a", "b"],',
      '  "none": {},',
      '  "steps": [',
      "    {",
      '      "id": "one",',
      '      "with": { "body": "$.body" }',
      "    }",
      "  ]",
      "}",
    ].join("\n"),
  );
});

test("numbers and texts stay as they were written", () => {
  const json = '[12345678901234567890, 1.10, -1e400, "\\u00e9\\n\\"", true, null]';
  expect(text(sourceOf(json))).toBe(json);
});

test("what can't be seen is escaped", () => {
  expect(text(sourceOf('["a\u202Eb\u200B"]'))).toBe('["a\\u202eb\\u200b"]');
  expect(text(sourceOf('{"\u202E":1}'))).toBe('{ "\\u202e": 1 }');
});

test("a member of an object is shown by itself", () => {
  const source = sourceOf('{"a":1,"document":{"id":"f","steps":[{"a":[]}]}}', "document");
  expect(source.lines[1]?.pointer).toBe("/id");
  expect(() => sourceOf("{}", "document")).toThrow(SyntaxError);
});

test("each value has its lines", () => {
  const source = sourceOf('{"a/b":{"c":[1,[2]]},"d":1}');
  expect(source.ranges.get("")).toEqual([0, source.lines.length - 1]);
  expect(source.ranges.get("/a~1b/c")).toEqual([2, 5]);
  expect(source.lines[4]?.pointer).toBe("/a~1b/c/1");
  // A value within a line is on the lines of the value around it.
  expect(linesOf(source, "/a~1b/c/1/0")).toEqual([4, 4]);
  expect(linesOf(source, "/nothing/here")).toEqual(source.ranges.get(""));
});

test("a line belongs to the innermost step around it", () => {
  const places = new Set(["/steps/1", "/steps/1/steps/0"]);
  expect(placeOf("/steps/1/steps/0/with/body", places)).toBe("/steps/1/steps/0");
  expect(placeOf("/steps/1/steps", places)).toBe("/steps/1");
  expect(placeOf("/steps/10", places)).toBe(null);
});

test.each(["", "{", "[1", "[1,]", "{1:2}", '{"a" 1}', "nul", "1 2", '"a'])("%j is no JSON", (json) => {
  expect(() => sourceOf(json)).toThrow(SyntaxError);
});
