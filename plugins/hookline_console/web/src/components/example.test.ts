import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { exampleOf, exampleValue } from "./example";

const component = (more: Partial<Schemas["ComponentView"]>): Schemas["ComponentView"] => ({
  name: "slack.post_message",
  kind: "action",
  title: "",
  description: "",
  plugin: "",
  settings: [],
  credential_types: [],
  hosts: null,
  unavailable: null,
  output: "",
  idempotent: null,
  connector: null,
  quality: null,
  rate: null,
  version: null,
  ...more,
});

test.each([
  ["text", "<name>"],
  ["integer or null", 1],
  ['"first" or "all"', "first"],
  ["true or false", true],
  ["list of text", []],
  ["duration", "30s"],
])("a value of the type %s", (type, value) => {
  expect(exampleValue({ name: "name", type, default: null })).toEqual(value);
});

test("an example has the settings that are required, and a credential if there is one", () => {
  const setting = (name: string, required: boolean) => ({
    name,
    type: "text",
    required,
    default: null,
    description: "",
    options: null,
  });
  const made = component({
    settings: [setting("channel", true), setting("thread", false)],
    credential_types: ["slack-api"],
  });
  expect(exampleOf(made)).toEqual({
    id: "post_message",
    use: "slack.post_message",
    with: { channel: "<channel>" },
    credential: "<name>",
  });
});

test("a scheme is shown where it is used", () => {
  expect(exampleOf(component({ name: "github", kind: "scheme", credential_types: ["github"] }))).toEqual({
    trigger: { use: "webhook", with: { verify: { scheme: "github", credential: "<name>" } } },
  });
});

test("a mapper has no place of its own in a flow", () => {
  expect(exampleOf(component({ kind: "mapper" }))).toBeUndefined();
});
