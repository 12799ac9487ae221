import { describe, expect, it } from "vitest";
import { member, parse, print } from "../json/json";
import { firstChoice, givenByCase, inputOf, requestOf, withStubs } from "./messages";

const REQUEST = {
  id: "1",
  at: "2026-01-01T00:00:00Z",
  path: "orders/new",
  method: "PUT",
  query: "a=1&a=2&b=3",
  headers: [["Content-Type", "application/json"]],
  body: '{"price": 1.10}',
  encoding: "text",
  content_type: "application/json",
};

describe("a message", () => {
  it("of a captured request becomes the input of a case, with all digits", async () => {
    const input = await inputOf("orders", REQUEST as never);
    expect(print(input, "")).toBe(
      '{"body": {"price": 1.10}, "headers": {"content-type": "application/json"}, "method": "PUT", ' +
        '"path": "new", "query": {"a": ["1", "2"], "b": "3"}}',
    );
    const form = { ...REQUEST, method: "POST", query: "", body: "a=1&a=2", path: "orders" };
    const fields = await inputOf("orders", {
      ...form,
      content_type: "application/x-www-form-urlencoded",
    } as never);
    expect(print(fields, "")).toBe(
      '{"body": {"a": ["1", "2"]}, "headers": {"content-type": "application/json"}}',
    );
  });

  it("of a captured request has parameters of any name", async () => {
    const query = "constructor=1&toString=2&toString=3&__proto__=4";
    const all = '{"constructor": "1", "toString": ["2", "3"], "__proto__": "4"}';
    const headers = [["__proto__", "x"]];
    const input = await inputOf("orders", { ...REQUEST, path: "orders", query, headers } as never);
    expect(print(input, "")).toBe(
      `{"body": {"price": 1.10}, "headers": {"__proto__": "x"}, "method": "PUT", "query": ${all}}`,
    );
    const asked = await inputOf("orders", { ...REQUEST, method: "GET", path: "orders", query } as never);
    expect(member(asked, "body")).toEqual(parse(all));
  });

  it("of a case is given with its stubs, but without what it expects", () => {
    const one =
      '{"name": "a", "input": {"body": 1.0}, "stubs": {"post": {}}, "expect": {"outcome": "failed"}}';
    expect(givenByCase(parse(one))).toEqual({ parts: { input: '{"body": 1.0}', stubs: '{"post": {}}' } });
  });

  it("is sent with the text as it is written", () => {
    const given = { execution_id: "x", parts: { input: '{"body": 1.10}' } };
    expect(requestOf('{"a": 1', given, { step: "/steps/0" })).toBe(
      '{"text": "{\\"a\\": 1", "execution_id": "x", "step": "/steps/0", "input": {"body": 1.10}}',
    );
  });

  it("has pinned stubs in place of its own", () => {
    const given = { parts: { stubs: '{"a": 1, "b": 2}' } };
    expect(withStubs(given, new Map([["b", parse("3")]])).parts.stubs).toBe('{"a": 1, "b": 3}');
    expect(withStubs(given, new Map())).toBe(given);
  });

  it("is chosen first if it came last", () => {
    const none = { executions: [], requests: [], cases: new Map() };
    const cases = new Map([["empty", parse("{}")]]);
    expect(firstChoice(none)).toBeNull();
    expect(firstChoice({ ...none, cases })).toEqual({ kind: "case", id: "empty" });
    expect(firstChoice({ ...none, cases, requests: [REQUEST as never] })?.kind).toBe("request");
  });
});
