import { expect, test } from "vitest";
import { canDeploy } from "./deployment";

const loaded = (value: unknown) => ({ value, error: undefined, loading: false });
const loading = { value: undefined, error: undefined, loading: true };
const failed = { value: undefined, error: new Error("no answer"), loading: false };

test("a text is deployed once its plan, its changes and its cases are known", () => {
  expect(canDeploy(loaded({}), loaded([]), loaded(null))).toBe(true);
  expect(canDeploy(loading, loaded([]), loaded(null))).toBe(false);
  expect(canDeploy(failed, loaded([]), loaded(null))).toBe(false);
  expect(canDeploy(loaded({}), loading, loaded(null))).toBe(false);
  expect(canDeploy(loaded({}), loaded([]), loading)).toBe(false);
});

test("nothing is deployed while the cases can't be read, whose steps may have to be renamed", () => {
  expect(canDeploy(loaded({}), loaded([]), failed)).toBe(false);
});

test("a text that can't be compared may be deployed", () => {
  expect(canDeploy(loaded({}), failed, loaded(null))).toBe(true);
});
