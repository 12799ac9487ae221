import { expect, test } from "vitest";
import type { Schemas } from "../api/client";
import { withAttempts } from "./further_steps";

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
