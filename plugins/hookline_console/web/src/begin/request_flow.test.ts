import { expect, test } from "vitest";
import { type FlowSource, flowFromRequest, isAcceptable } from "./request_flow";

const JSON_TYPE = "application/json";

async function made(given: Partial<FlowSource>) {
  const request = {
    method: "POST",
    content_type: null,
    query: "",
    body: null,
    encoding: "text",
    ...given,
  } as const;
  const flow = (await flowFromRequest("orders", request)) as {
    trigger: { use: string; with: object };
    steps: [{ with: { body: unknown } }];
  };
  const { verify, ...settings } = flow.trigger.with as { verify: string };
  expect(verify).toBe("none");
  return { settings, body: flow.steps[0].with.body };
}

test("the step has the fields of an object, in their order", async () => {
  expect(await made({ content_type: `${JSON_TYPE}; charset=utf-8`, body: '{"b": 1, "a": [2]}' })).toEqual({
    settings: { media_types: [JSON_TYPE] },
    body: { b: "$.body.b", a: "$.body.a" },
  });
});

test("a key that is no name is quoted", async () => {
  const keys = ["order id", "it's", 'say "hi"', "a\\b", "$schema"];
  const body = JSON.stringify(Object.fromEntries(keys.map((key) => [key, 1])));
  expect((await made({ content_type: JSON_TYPE, body })).body).toEqual({
    "order id": "$.body['order id']",
    "it's": "$.body['it\\'s']",
    'say "hi"': "$.body['say \"hi\"']",
    "a\\b": "$.body['a\\\\b']",
    $schema: "$.body['$schema']",
  });
});

test.each([
  ["[1, 2]"],
  ["{}"],
  ['"text"'],
  [""],
  ["{broken"],
  // It would be an expression.
  ['{"jsonata": "1 + 1"}'],
  [JSON.stringify(Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`f${index}`, 1])))],
])("a body without fields to name is taken whole: %s", async (body) => {
  const { settings, body: whole } = await made({ content_type: JSON_TYPE, body });
  expect([settings, whole]).toEqual([{ media_types: [JSON_TYPE] }, "$.body"]);
});

test("JSON with another type is read as JSON", async () => {
  const form = "application/x-www-form-urlencoded";
  expect(await made({ content_type: form, body: '{"a": 1}' })).toEqual({
    settings: { media_types: [form], body: "json" },
    body: { a: "$.body.a" },
  });
  expect((await made({ content_type: null, body: '{"a": 1}' })).settings).toEqual({ body: "json" });
});

test("a form has fields, some of which are nested or hold JSON", async () => {
  const content_type = "application/x-www-form-urlencoded";
  const body = "order[id]=7&order[lines][][sku]=A&note=42&payload=%7B%22a%22%3A1%7D";
  expect(await made({ content_type, body })).toEqual({
    settings: { media_types: [content_type], nested: true, json_fields: ["payload"] },
    body: { order: "$.body.order", note: "$.body.note", payload: "$.body.payload" },
  });
});

test("a GET has its query", async () => {
  expect(await made({ method: "GET", query: "a=1&a=2&b=3", content_type: JSON_TYPE })).toEqual({
    settings: { methods: ["GET"] },
    body: { a: "$.body.a", b: "$.body.b" },
  });
});

test("other bodies are taken whole, also one that was left out", async () => {
  expect(await made({ content_type: "text/xml", body: "<a/>", method: "PUT" })).toEqual({
    settings: { methods: ["PUT"], media_types: ["text/xml"] },
    body: "$.body",
  });
  expect((await made({ content_type: "multipart/form-data; boundary=x" })).body).toBe("$.body");
  expect((await made({ content_type: "nonsense" })).settings).toEqual({});
});

test("a flow accepts four methods", () => {
  expect(["GET", "POST", "PUT", "PATCH", "DELETE"].filter((method) => isAcceptable({ method }))).toEqual([
    "GET",
    "POST",
    "PUT",
    "PATCH",
  ]);
});
