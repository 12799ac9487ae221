import { expect, test } from "vitest";
import { NO_FIELD_TEXTS } from "../code/editing";
import { baseOf, beginningOf } from "./draft_choice";

const local = {
  ...{ person: "jo", flowId: "a", text: "mine", base: null, kept: "v1", sent: false },
  fields: NO_FIELD_TEXTS,
};
const begun = { draft: local, other: null, known: null, isSent: false, isGone: false };
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
  expect(beginningOf(null, server)).toEqual({ ...begun, draft: null, other: server });
  expect(beginningOf(local, server)).toEqual({ ...begun, other: server });
});

test("a draft that was saved from here, or is the same, is continued", () => {
  expect(beginningOf(local, { ...server, version: "v1" })).toEqual({ ...begun, known: "v1" });
  const same = { ...server, text: "mine" };
  expect(beginningOf(local, same)).toEqual({ ...begun, known: "v2", isSent: true });
});

test("without a draft on the server, one that never was there is continued", () => {
  const fresh = { ...local, kept: null };
  expect(beginningOf(fresh, null)).toEqual({ ...begun, draft: fresh });
  expect(beginningOf(null, null)).toEqual({ ...begun, draft: null });
});

test("a draft that the server had, and that was removed elsewhere, doesn't come back", () => {
  expect(beginningOf({ ...local, sent: true }, null)).toEqual({ ...begun, draft: null });
});

test("somebody has to look at what was written since a draft was removed elsewhere", () => {
  expect(beginningOf(local, null)).toEqual({ ...begun, isGone: true });
  const fields = new Map([["/id", { text: "b", shown: "a" }]]);
  const typed = { ...local, sent: true, fields };
  expect(beginningOf(typed, null)).toEqual({ ...begun, draft: typed, isGone: true });
});

test("nothing is known of the server's drafts if this person can't see them", () => {
  expect(beginningOf({ ...local, sent: true }, undefined)).toEqual({
    ...begun,
    draft: { ...local, sent: true },
  });
});

test("a draft is deployed over the version from which it was made, and over no other", () => {
  expect(baseOf(server, "ab12-99")).toBe("ab12-99");
  expect(baseOf(server, "cd34-99")).toBe("ab12");
  expect(baseOf({ ...server, base: null }, "cd34-99")).toBeNull();
});
