import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { matching } from "./search";

const component = (name: string, kind: Schemas["ComponentView"]["kind"], description = "") =>
  ({ name, kind, title: "", description }) as Schemas["ComponentView"];

const components = [
  component("email.send", "action", "Send a message to Slack's users"),
  component("slack.post_message", "action"),
  component("slack", "scheme"),
];
const names = (text: string, kind = "") => matching(components, text, kind).map((one) => one.name);

test("a name counts more than a description", () => {
  expect(names("slack")).toEqual(["slack.post_message", "slack", "email.send"]);
});

test("all words must be there, and the kind", () => {
  expect(names("slack post")).toEqual(["slack.post_message"]);
  expect(names("", "scheme")).toEqual(["slack"]);
});
