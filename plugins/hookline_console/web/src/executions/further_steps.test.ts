import { expect, test, vi } from "vitest";
import type { Schemas } from "../api/client";
import { StepPages, withAttempts } from "./further_steps";

type Execution = Schemas["ExecutionView"];
type Attempt = Schemas["StepView"];

const attempt = (path: string, state: string, number = 1) =>
  ({ path, state, attempt: number, started_at: "a", finished_at: "b", due_at: null }) as Attempt;
const execution = (state: string, steps: readonly Attempt[] = []) =>
  ({
    state,
    finished_at: state === "running" ? null : "end",
    steps: steps.map((step) => ({ ...step, earlier: [] })),
  }) as unknown as Execution;

test("further steps come after those of the execution, each once", () => {
  const known = execution("running", [attempt("first", "succeeded", 2)]);
  const pages = [attempt("first", "failed"), attempt("second", "failed"), attempt("second", "succeeded", 2)];
  const steps = withAttempts(known, pages);
  expect(steps.map((step) => [step.path, step.state, step.attempt])).toEqual([
    ["first", "succeeded", 2],
    ["second", "succeeded", 2],
  ]);
  expect(steps[1]?.earlier.map((one) => one.state)).toEqual(["failed"]);
});

test("of many attempts, the newest 20 earlier ones are kept", () => {
  const pages = Array.from({ length: 30 }, (_, index) => attempt("step", "failed", index + 1));
  const [step] = withAttempts(execution("running"), pages);
  expect(step?.attempt).toBe(30);
  expect(step?.earlier.map((one) => one.attempt)).toEqual(
    Array.from({ length: 20 }, (_, index) => index + 10),
  );
});

test("what waited when the execution ended was interrupted", () => {
  const [open] = withAttempts(execution("running"), [attempt("step", "waiting")]);
  expect(open?.state).toBe("waiting");
  const [interrupted] = withAttempts(execution("cancelled"), [attempt("step", "waiting")]);
  expect([interrupted?.state, interrupted?.finished_at]).toEqual(["interrupted", "end"]);
});

const page = (path: string, next: string | null) =>
  ({ items: [attempt(path, "succeeded")], next }) as unknown as Schemas["PageView_StepView_"];

test("an execution that is loaded again while a page loads has that page loaded again", async () => {
  const load = vi.fn(async () => page("last", null));
  const pages = new StepPages(load, () => {});
  const loading = pages.load("c");
  pages.refresh();
  await loading;
  expect(load.mock.calls).toEqual([["c"], ["c"]]);
  expect(pages.pages).toHaveLength(1);
  await pages.refresh();
  expect(load).toHaveBeenCalledTimes(3);
});

test("the last page is loaded again after its reload has failed", async () => {
  const load = vi.fn(async () => page("last", null));
  const pages = new StepPages(load, () => {});
  await pages.load("c");
  load.mockRejectedValueOnce(new Error("no answer"));
  await pages.refresh();
  expect(pages.error).toEqual(new Error("no answer"));
  await pages.retry();
  expect(pages.error).toBe(undefined);
  expect(load.mock.calls).toEqual([["c"], ["c"], ["c"]]);
});

test("a page that is asked for twice is loaded once", async () => {
  const load = vi.fn(async () => page("second", "d"));
  const pages = new StepPages(load, () => {});
  await Promise.all([pages.load("c"), pages.load("c")]);
  expect(load).toHaveBeenCalledTimes(1);
  expect(pages.pages.map((one) => one.cursor)).toEqual(["c"]);
});
