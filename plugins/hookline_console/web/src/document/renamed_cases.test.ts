import { expect, test } from "vitest";
import { renamedCases } from "./renamed_cases";

const renamed = (text: string) => renamedCases(text, new Map([["post", "send"]]));

test("steps are renamed wherever a case names them by their paths, and nothing else changes", () => {
  const cases = (id: string) => `{"cases": [{
    "name": "post", "input": {"body": {"post": 12345678901234567890}},
    "stubs": {"lines/${id}": {"result": "post"}, "poster": {"error": {"code": "x", "step": "${id}"}}},
    "answers": {"${id}": null},
    "expect": {"outcome": "failed", "steps": {"lines[1]/${id}": {}}, "path": ["lines[0]/${id}", "lines"],
      "calls": [{"step": "lines/${id}", "with": {"step": "post"}}], "error": {"step": "${id}"}}
  }]}`;
  expect(renamed(cases("post"))).toBe(cases("send"));
});

test("cases that name none of the steps stay as they are", () => {
  expect(renamed('{"cases": [{"name": "a", "stubs": {"other": {}}}]}')).toBeNull();
  expect(renamed('{"cases": []}')).toBeNull();
});
