import { describe, expect, it } from "vitest";
import { readDocument } from "../document/flow_document";
import { parse, print } from "../json/json";
import { caseOf, freeName } from "./cases";
import {
  continues,
  hasReached,
  heldResults,
  nextStop,
  obstacleOf,
  readTriedRun,
  recordedOf,
  stateOf,
  stubOf,
  type Wanted,
} from "./tried_run";

const STEP = {
  id: "post",
  state: "succeeded",
  signal: null,
  error: null,
  earlier: [],
  attempt: 1,
  due_at: null,
  started_at: "2026-01-01T00:00:01.5Z",
  finished_at: "2026-01-01T00:00:02Z",
};
const VIEW = `{"flow_id": "orders", "outcome": "completed", "error": null, "reason": null, "body": {"price": 1.10},
  "stubbed": ["post", "post"], "steps": [
  ${JSON.stringify({ ...STEP, path: "order", id: "order", use: "map", started_at: "2026-01-01T00:00:01Z" })},
  ${JSON.stringify({ ...STEP, path: "post", use: "http.request" }).slice(0, -1)},
   "output": {"body": 1.0, "status": 200, "headers": {}, "attachments": [], "took": 2}}]}`;
const WANTED: Wanted = {
  text: "{}",
  choice: { kind: "execution", id: "a" },
  given: { execution_id: "a", parts: {} },
  pins: new Map(),
  effects: "real",
};
const tried = readTriedRun(VIEW, WANTED, null);

describe("a tried run", () => {
  it("has the times of its steps", () => {
    const { state, created_at, finished_at } = recordedOf(tried.view);
    expect([state, created_at, finished_at]).toEqual([
      "succeeded",
      "2026-01-01T00:00:01Z",
      "2026-01-01T00:00:02Z",
    ]);
    expect(recordedOf({ ...tried.view, steps: [], outcome: null }).state).toBe("waiting");
    expect(stateOf({ outcome: "timed_out" })).toBe("failed");
  });

  it("gives the stub of a step, with all digits", () => {
    expect(print(stubOf(tried.values.get("post")?.output ?? parse("null"), null) ?? parse("0"), "")).toBe(
      '{"result": 1.0, "status": 200, "beside": {"took": 2}}',
    );
    expect(stubOf(parse("null"), null)).toBeNull();
  });

  it("holds the results of its steps if their effects were real, also of those that failed", () => {
    expect([...heldResults(tried).keys()]).toEqual(["post"]);
    expect([...heldResults({ ...tried, effects: "stubbed" }).keys()]).toEqual([]);
    const error = { code: "http.status", message: "the status is 503", step: "post" };
    const steps = tried.view.steps.map((step) => ({
      ...step,
      state: "failed" as const,
      error: error as never,
    }));
    const failed = heldResults({ ...tried, view: { ...tried.view, steps: steps.slice(1) } });
    expect(print(failed.get("post") ?? parse("0"), "")).toBe(
      '{"error": {"code": "http.status", "message": "the status is 503"}}',
    );
  });

  it("is continued on the same message, with the same text, pins and effects", () => {
    const last = { ...tried, until: "/steps/0" };
    expect(continues(last, { ...WANTED, given: { ...WANTED.given } })).toBe(true);
    expect(continues(tried, WANTED)).toBe(false);
    expect(continues(last, { ...WANTED, text: "{ }" })).toBe(false);
    expect(continues(last, { ...WANTED, choice: { kind: "execution", id: "b" } })).toBe(false);
    expect(continues(last, { ...WANTED, given: { execution_id: "b", parts: {} } })).toBe(false);
    expect(continues(last, { ...WANTED, pins: new Map([["post", parse("{}")]]) })).toBe(false);
    expect(continues(last, { ...WANTED, effects: "stubbed" })).toBe(false);
  });

  it("isn't continued with real effects if some of its results can't be held", () => {
    const plain = readDocument('{"steps": []}');
    const redacting = readDocument('{"redact": ["$.body"], "steps": []}');
    const long = { ...tried, view: { ...tried.view, more_steps: true } };
    expect(obstacleOf(plain, "real", tried)).toBeNull();
    expect(obstacleOf(plain, "real", long)).toBe("long");
    expect(obstacleOf(redacting, "real", null)).toBe("redact");
    expect(obstacleOf(redacting, "stubbed", long)).toBeNull();
  });

  it("becomes a case with the results of stubbed steps", () => {
    const from = parse('{"input": {"body": 5}, "stubs": {"gone": {}}, "expect": {"outcome": "failed"}}');
    expect(print(caseOf("one", from, tried, { exact: true }), "")).toBe(
      '{"name": "one", "input": {"body": 5}, ' +
        '"stubs": {"post": {"result": 1.0, "status": 200, "beside": {"took": 2}}}, ' +
        '"expect": {"outcome": "completed", "body": {"price": 1.10}}}',
    );
  });

  it("has a name that no case has", () => {
    expect(freeName("completed", new Set(["completed", "completed 2"]))).toBe("completed 3");
  });

  it("stops after each step that is no block", () => {
    const document = readDocument(
      JSON.stringify({
        steps: [
          { id: "order", use: "map" },
          { foreach: "$.body", steps: [{ use: "log" }] },
        ],
        on_error: [{ use: "log" }],
      }),
    );
    expect(nextStop(document, null)).toBe("/steps/0");
    expect(nextStop(document, "/steps/0")).toBe("/steps/1/steps/0");
    expect(nextStop(document, "/steps/1/steps/0")).toBeNull();
    expect(hasReached(tried, document, "/steps/0")).toBe(true);
    expect(hasReached(tried, document, "/steps/1/steps/0")).toBe(false);
  });
});
