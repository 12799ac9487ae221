import { expect, test } from "vitest";
import { exampleBody } from "./example_message";

test("the body of the first case that has one is an example, with all digits of its numbers", () => {
  const cases =
    '{"cases": [{"input": {}}, {"input": {"body": {"amount": 12345678901234567890, "tax": 1.10}}}]}';
  expect(exampleBody(cases)).toBe('{\n  "amount": 12345678901234567890,\n  "tax": 1.10\n}');
});

test("a body that is a text is sent as it is", () => {
  expect(exampleBody('{"cases": [{"input": {"body": "a,b"}}]}')).toBe("a,b");
});

test("without cases, there is no example", () => {
  expect(exampleBody('{"cases": []}')).toBe(undefined);
  expect(exampleBody("{}")).toBe(undefined);
});
