import { expect, test } from "vitest";
import {
  afterEvent,
  firstPage,
  type LiveList,
  refreshed,
  type Summary,
  withFresh,
  withNextPage,
} from "./live_list";

const row = (id: string, more: Partial<Summary> = {}) =>
  ({ id, state: "succeeded", finished_at: "2026-01-01T00:00:02Z", started_at: null, ...more }) as Summary;
const page = (ids: string, next: string | null = null) => ({ items: [...ids].map((id) => row(id)), next });
const ids = (list: LiveList) => list.rows.map((one) => one.id).join("");

test("pages follow one another without gaps, and nothing is there twice", () => {
  const list = withNextPage(firstPage(page("gfe", "e")), page("edc"));
  expect(ids(list)).toBe("gfedc");
  expect(list.next).toBeNull();
});

test("new executions come on top, and older pages stay", () => {
  const list = withNextPage(firstPage(page("gfe", "e")), page("dcb", "b"));
  const after = refreshed(list, page("ihg", "g"), false);
  expect(ids(after)).toBe("ihgfedcb");
  expect(after.next).toBe("b");
});

test("nothing moves while the viewer is further down, until new ones are asked for", () => {
  const held = refreshed(firstPage(page("gfe", "e")), page("ihg", "g"), true);
  expect(ids(held)).toBe("gfe");
  expect(held.fresh.map((one) => one.id)).toEqual(["i", "h"]);
  expect(ids(withFresh(held))).toBe("ihgfe");
});

test("a list about which something was missed stays behind until it can begin anew", () => {
  const behind = { ...firstPage(page("gfe", "e")), behind: true };
  expect(refreshed(behind, page("hgf", "f"), true)).toEqual(behind);
  const anew = refreshed(behind, page("hgf", "f"), false);
  expect(ids(anew)).toBe("hgf");
  expect(anew.behind).toBe(false);
});

test("what no longer fits the filters leaves the list", () => {
  expect(ids(refreshed(firstPage(page("gfedc", "c")), page("gfd", "d"), false))).toBe("gfdc");
  expect(ids(refreshed(firstPage(page("gfe")), page("ge"), false))).toBe("ge");
  expect(ids(refreshed(firstPage(page("gfe")), page(""), false))).toBe("");
});

test("if more came than a page has, the list begins anew instead of leaving a gap", () => {
  const list = firstPage(page("cba", null));
  expect(ids(refreshed(list, page("zyx", "x"), false))).toBe("zyx");
  expect(refreshed(list, page("zyx", "x"), true)).toMatchObject({ behind: true, rows: list.rows });
});

test("events move an execution from state to state", () => {
  const queued = row("a", { state: "queued", finished_at: null });
  const at = "2026-01-01T00:00:01Z";
  const send = (list: LiveList, kind: string, more: object = {}) =>
    afterEvent(list, { kind, data: { execution_id: "a", at, ...more } });
  const begun = send(firstPage({ items: [queued], next: null }), "execution.started");
  expect(begun.rows[0]).toMatchObject({ state: "running", started_at: at });
  const waits = send(begun, "execution.waiting", { reason: "retry" });
  expect(waits.rows[0]).toMatchObject({ state: "waiting", reason: "retry", finished_at: null });
  const error = { code: "http.503", message: "no", step: "a", retryable: true };
  const ended = send(waits, "execution.ended", { state: "failed", outcome: "failed", error });
  expect(ended.rows[0]).toMatchObject({ state: "failed", outcome: "failed", error, finished_at: at });
});

test("an event about another execution changes nothing", () => {
  const list = firstPage(page("a"));
  expect(afterEvent(list, { kind: "execution.started", data: { execution_id: "b" } })).toBe(list);
});
