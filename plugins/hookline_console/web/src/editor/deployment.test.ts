import { expect, test, vi } from "vitest";
import { api } from "../api/client";
import { canDeploy, type Deployment, deploy } from "./deployment";

vi.mock("../api/client", () => ({ api: { POST: vi.fn() }, body: vi.fn() }));

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

test("a deployment says which flow and which cases it replaces", async () => {
  const sent = async (more: Partial<Deployment>) => {
    const wanted = {
      flowId: "a",
      text: '{"n": 1.10}',
      base: "one-x",
      cases: null,
      message: "",
      force: false,
    };
    await deploy({ ...wanted, ...more }, { dryRun: false });
    const [, { bodySerializer }] = vi.mocked(api.POST).mock.lastCall as unknown as [
      string,
      { bodySerializer: () => string },
    ];
    return bodySerializer();
  };
  const text = await sent({ cases: { text: '{"cases": [1.10]}', base: "tag" } });
  expect(text).toContain('"flows": {"a": {"n": 1.10}}, "cases": {"a": {"cases": [1.10]}}');
  expect(JSON.parse(text)).toMatchObject({ expected: { a: "one-x" }, expected_cases: { a: "tag" } });
  expect(JSON.parse(await sent({}))).toMatchObject({ expected: { a: "one-x" }, expected_cases: {} });
});
