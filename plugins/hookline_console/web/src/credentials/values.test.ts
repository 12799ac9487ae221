import { describe, expect, test } from "vitest";
import types from "./credential_types.json";
import { CONTROLS, changeOf, choicesOf, controlOf, credentialFields, credentialOf } from "./values";

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
    ["hosts", "a\r\n\r\n b \r\n"],
    ["extra", '{"a": 1}'],
    [CONTROLS.flows, "billing-*"],
    [CONTROLS.hosts, "api.example\n*.bank.example\n"],
  ]);
  expect(credentialOf(credentialFields(schema), form)).toEqual({
    values: { host: "broker.example", port: 8883, tls: true, hosts: ["a", "b"], extra: { a: 1 } },
    flows: ["billing-*"],
    hosts: ["api.example", "*.bank.example"],
  });
});

test("bad JSON is an error", () => {
  expect(() => credentialOf(credentialFields(schema), new Map([["extra", "{"]]))).toThrow(SyntaxError);
});

test("a form that isn't loaded yet changes nothing", () => {
  expect(changeOf([], new Map(), { flows: ["billing-*"], hosts: ["api.example"] })).toEqual({});
});

const ENTERED = { number: "7", boolean: "false", json: "{}", lines: "a", secret: "s", text: "t", choice: "" };
const LIMITS = { flows: ["billing-*"], hosts: ["api.example", "*.bank.example"] };

describe.each(Object.entries(types))("the form of %s", (_, given) => {
  const fields = credentialFields(given);
  /** The form as it is opened: what is stored of the values isn't shown, and the limits are. */
  const opened = () =>
    new Map([
      ...fields.map(({ name }) => [name, ""] as const),
      [CONTROLS.flows, LIMITS.flows.join("\r\n")],
      [CONTROLS.hosts, LIMITS.hosts.join("\r\n")],
    ]);

  test("changes nothing if nothing is entered", () => {
    expect(fields.length).toBeGreaterThan(0);
    expect(changeOf(fields, opened(), LIMITS)).toEqual({});
  });

  test.each(fields.map((field) => [field.name, field] as const))("changes %s alone", (name, field) => {
    const control = controlOf(field);
    const text = control === "choice" ? (choicesOf(field)[0] ?? "") : ENTERED[control];
    const { values, ...limits } = changeOf(fields, opened().set(name, text), LIMITS);
    expect(Object.keys(values ?? {})).toEqual([name]);
    expect(values?.[name]).not.toBeNull();
    expect(limits).toEqual({});
    const removing = opened().set(CONTROLS.removal(name), "on");
    expect(changeOf(fields, removing, LIMITS)).toEqual({ values: { [name]: null } });
  });

  test("changes the flows alone, or the hosts alone", () => {
    const flows = opened().set(CONTROLS.flows, "billing-*\norders");
    expect(changeOf(fields, flows, LIMITS)).toEqual({ flows: ["billing-*", "orders"] });
    expect(changeOf(fields, opened().set(CONTROLS.hosts, ""), LIMITS)).toEqual({ hosts: [] });
  });
});
