import { expect, test } from "vitest";
import { choicesOf, controlOf, credentialFields, valuesOf } from "./values";

const schema = {
  type: "object",
  required: ["host", "password"],
  properties: {
    port: { anyOf: [{ type: "integer" }, { type: "null" }], default: null, description: "By default 1883." },
    host: { type: "string" },
    password: {
      anyOf: [
        { type: "string", format: "password" },
        { type: "array", items: { type: "string", format: "password" } },
      ],
    },
    tls: { type: "boolean", default: false },
    version: { enum: ["5", "3.1.1"], type: "string", default: "5" },
    hosts: { type: "array", items: { type: "string" } },
    extra: { $ref: "#/$defs/Extra" },
  },
  $defs: { Extra: { type: "object" } },
};

test("each property is a field, and those that are required come first", () => {
  const fields = credentialFields(schema);
  expect(fields.map((field) => [field.name, controlOf(field)])).toEqual([
    ["host", "text"],
    ["password", "secret"],
    ["port", "number"],
    ["tls", "boolean"],
    ["version", "choice"],
    ["hosts", "lines"],
    ["extra", "json"],
  ]);
  const version = fields.find((field) => field.name === "version");
  expect(version?.placeholder).toBe("5");
  expect(version && choicesOf(version)).toEqual(["5", "3.1.1"]);
  expect(fields.find((field) => field.name === "port")?.description).toBe("By default 1883.");
});

test("values have the types of the schema, and what is empty isn't sent", () => {
  const form = new Map([
    ["host", "broker.example"],
    ["password", ""],
    ["port", "8883"],
    ["tls", "true"],
    ["hosts", "a\n\nb\n"],
    ["extra", '{"a": 1}'],
  ]);
  expect(valuesOf(credentialFields(schema), form)).toEqual({
    host: "broker.example",
    port: 8883,
    tls: true,
    hosts: ["a", "b"],
    extra: { a: 1 },
  });
});

test("bad JSON is an error", () => {
  expect(() => valuesOf(credentialFields(schema), new Map([["extra", "{"]]))).toThrow(SyntaxError);
});
