import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { EXAMPLES, flowFromExample, flowFromTrigger, triggersOf } from "./beginnings";

function component(more: Partial<Schemas["ComponentView"]>): Schemas["ComponentView"] {
  return {
    name: "webhook",
    kind: "trigger",
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
  };
}

const required = (name: string, type: string) => ({
  name,
  type,
  required: true,
  default: null,
  description: "",
  options: null,
});

test("an example gets the name of the new flow, and is otherwise as it was", () => {
  const [first] = EXAMPLES;
  expect(first).toBeDefined();
  expect(flowFromExample("mine", first?.title ?? "")).toEqual({ ...first?.flow, id: "mine" });
});

test("examples have titles of their own, by which they are chosen", () => {
  expect(new Set(EXAMPLES.map(({ title }) => title)).size).toBe(EXAMPLES.length);
});

test("the language's own triggers come before those of connectors", () => {
  const sorted = triggersOf([
    component({ name: "amqp.messages", connector: "amqp" }),
    component({ name: "log", kind: "action" }),
    component({ name: "webhook" }),
    component({ name: "manual" }),
  ]);
  expect(sorted.map(({ name }) => name)).toEqual(["manual", "webhook", "amqp.messages"]);
});

test("a flow has the required settings of its trigger, and a credential if there is one", () => {
  const trigger = component({
    name: "amqp.messages",
    settings: [required("queue", "text")],
    credential_types: ["amqp"],
  });
  expect(flowFromTrigger("mine", trigger)).toMatchObject({
    id: "mine",
    trigger: { use: "amqp.messages", with: { queue: "<queue>" }, credential: "<name>" },
  });
});

test("the sender of a webhook isn't verified until a scheme is chosen", () => {
  const trigger = component({ settings: [required("verify", "object or text")] });
  expect(flowFromTrigger("mine", trigger)).toMatchObject({
    trigger: { use: "webhook", with: { verify: "none" } },
  });
});
