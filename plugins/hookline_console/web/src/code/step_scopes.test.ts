import { expect, test } from "vitest";
import { StepScopes } from "./step_scopes";

const scopes = new StepScopes([
  { step: "a", pointer: "/steps/0", scope: { body: "any", item: "text" }, body: "text", gone: [] },
  { step: "b", pointer: "/steps/1", scope: { body: "text", "steps.a": "{…}" }, body: null, gone: ["item"] },
]);

test("a step sees what the one before it sees, and its changes", () => {
  expect(scopes.get("a")).toEqual({ body: "any", item: "text" });
  expect(scopes.get("b")).toEqual({ body: "text", "steps.a": "{…}" });
  expect(scopes.get("c")).toBeUndefined();
  expect(scopes.size).toBe(2);
});
