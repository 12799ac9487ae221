import { expect, test } from "vitest";
import { baseOf, beginningOf } from "./draft_choice";

const local = { flowId: "a", text: "mine", base: null, kept: "v1", savedAt: "2026-01-31T08:00:00Z" };
const server = {
  flow_id: "a",
  version: "v2",
  base: "ab12",
  size: 6,
  updated_at: "2026-01-31T08:00:00Z",
  updated_by: "token:jo",
  text: "theirs",
};

test("a draft on the server that isn't known here is shown first", () => {
  expect(beginningOf(null, server)).toEqual({ other: server, known: null, isSent: false });
  expect(beginningOf(local, server)).toEqual({ other: server, known: null, isSent: false });
});

test("a draft that was saved from here, or is the same, is continued", () => {
  expect(beginningOf(local, { ...server, version: "v1" })).toEqual({
    other: null,
    known: "v1",
    isSent: false,
  });
  expect(beginningOf(local, { ...server, text: "mine" })).toEqual({ other: null, known: "v2", isSent: true });
});

test("without a draft on the server, there is nothing to choose", () => {
  expect(beginningOf(local, null)).toEqual({ other: null, known: null, isSent: false });
});

test("a draft is deployed over the version from which it was made, and over no other", () => {
  expect(baseOf(server, "ab12-99")).toBe("ab12-99");
  expect(baseOf(server, "cd34-99")).toBe("ab12");
  expect(baseOf({ ...server, base: null }, "cd34-99")).toBeNull();
});
