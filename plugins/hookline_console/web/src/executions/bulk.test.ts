import { expect, test } from "vitest";
import { ApiError } from "../api/problem";
import { type Progress, runEach, runPages } from "./bulk";

function running() {
  const told: Progress[] = [];
  const controller = new AbortController();
  return {
    told,
    stop: () => controller.abort(),
    tell: (one: Progress) => told.push(one),
    signal: controller.signal,
  };
}

const PAGES = [
  { done: ["a", "b"], rejected: [], next: "1" },
  { done: [], rejected: [{ id: "c", code: "illegal", message: "no" }], next: "2" },
  { done: ["d"], rejected: [], next: null },
];
const page = async (cursor: string | null) => PAGES[Number(cursor ?? 0)] as (typeof PAGES)[0];

test("all pages are done, with their progress", async () => {
  const run = running();
  const result = await runPages(page, run);
  expect(result).toMatchObject({ done: 3, state: "finished" });
  expect(result.rejected.map((one) => one.id)).toEqual(["c"]);
  expect(run.told.map((one) => `${one.done} ${one.state}`)).toEqual(["2 running", "2 running", "3 finished"]);
});

test("it can be stopped between two pages", async () => {
  const run = running();
  const result = await runPages(async (cursor) => {
    run.stop();
    return page(cursor);
  }, run);
  expect(result).toMatchObject({ done: 2, state: "stopped" });
});

test("if the server is gone, it says how far it got", async () => {
  const run = running();
  const gone = new ApiError(503, { title: "the store can't be reached" });
  const result = await runPages(async (cursor) => {
    if (cursor !== null) throw gone;
    return page(cursor);
  }, run);
  expect(result).toMatchObject({ done: 2, state: "failed", error: gone });
});

test("an execution that is rejected doesn't stop the others", async () => {
  const run = running();
  const result = await runEach(
    ["a", "b", "c"],
    async (id) => {
      if (id === "b") throw new ApiError(409, { code: "illegal", detail: "it has ended" });
    },
    run,
  );
  expect(result).toMatchObject({ done: 2, state: "finished" });
  expect(result.rejected).toEqual([{ id: "b", code: "illegal", message: "it has ended" }]);
});

test("of no executions, none is done", async () => {
  expect(await runEach([], async () => {}, running())).toMatchObject({ done: 0, state: "finished" });
});
