import { expect, test } from "vitest";
import { micros } from "../ui/moments";
import { blocksOf, openBlocks, type Recorded, type Step, scale, timeline } from "./timeline";

const at = (seconds: number) => `${new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString()}`;

function step(path: string, from: number, to: number, more: Partial<Step> = {}): Step {
  return {
    id: path.split("/").at(-1) ?? path,
    path,
    use: "map",
    state: "succeeded",
    attempt: 1,
    error: null,
    started_at: at(from),
    finished_at: at(to),
    due_at: null,
    signal: null,
    earlier: [],
    ...more,
  };
}

function execution(steps: Step[], ended: number | null, more: Partial<Recorded> = {}): Recorded {
  const finished_at = ended === null ? null : at(ended);
  const state = ended === null ? "waiting" : "succeeded";
  return { state, created_at: at(0), started_at: at(1), finished_at, steps, ...more };
}

const lay = (recorded: Recorded, open: string[] = [], now = 100) =>
  timeline(recorded, new Set(open), micros(at(now)));
const bars = (recorded: Recorded, path: string, now = 100) =>
  lay(recorded, blocksOf(path), now)
    .rows.find((row) => row.path === path)
    ?.bars.map((bar) => `${bar.kind} ${seconds(bar.from)}-${seconds(bar.to)}${bar.open ? " open" : ""}`);
const seconds = (time: number) => (time - micros(at(0))) / 1e6;

test("the first row is the execution: its time in the queue, and its run", () => {
  expect(bars(execution([step("a", 1, 2)], 3), "")).toEqual(["queued 0-1", "span 1-3"]);
  const queued = execution([], null, { state: "queued", started_at: null });
  expect(bars(queued, "", 7)).toEqual(["queued 0-7 open"]);
});

test("each attempt has its bar, and the wait after it, too", () => {
  const failed = { state: "waiting", error: {}, due_at: at(4) };
  const again = step("a", 4, 5, {
    attempt: 2,
    earlier: [{ attempt: 1, started_at: at(1), finished_at: at(2), ...failed }],
  });
  expect(bars(execution([again], 6), "a")).toEqual(["failed 1-2", "backoff 2-4", "run 4-5"]);
  const waits = step("a", 1, 2, failed);
  expect(bars(execution([waits], null), "a", 3)).toEqual(["failed 1-2", "backoff 2-3 open"]);
});

test("a wait for a callback is open until it comes", () => {
  const waits = step("answer", 1, 1, { state: "waiting", due_at: at(1000) });
  expect(bars(execution([waits], null), "answer", 50)).toEqual(["wait 1-50 open"]);
});

test("blocks and items hold the steps inside, and span them", () => {
  const steps = [step("lines[0]/post", 1, 2), step("lines[1]/post", 2, 4), step("lines", 5, 5)];
  expect(lay(execution(steps, 6)).rows.map((row) => row.path)).toEqual(["", "lines"]);
  expect(bars(execution(steps, 6), "lines")).toEqual(["span 1-4"]);
  const open = lay(execution(steps, 6), ["lines", "lines[1]"]).rows;
  expect(open.map((row) => `${row.level} ${row.path}`)).toEqual([
    "0 ",
    "1 lines",
    "2 lines[0]",
    "2 lines[1]",
    "3 lines[1]/post",
  ]);
  expect(open[1]).toMatchObject({ inside: 2, failedInside: 0, expandable: true, state: "succeeded" });
});

test("while it runs, blocks that have no entry yet are open, and the time since the last entry isn't idle", () => {
  const steps = [step("a", 1, 2), step("lines[0]/post", 2, 4)];
  const running = execution(steps, null, { state: "running" });
  expect(bars(running, "lines", 60)).toEqual(["span 2-60 open"]);
  expect(lay(running, [], 60).scale.breaks).toEqual([]);
  expect(bars(execution(steps, 60, { state: "failed" }), "lines")).toEqual(["span 2-4"]);
});

test("items are in the order of their numbers, steps in the order of the journal", () => {
  const steps = [step("l[10]/a", 1, 2), step("l[9]/a", 2, 3), step("b", 0.5, 0.6)];
  expect(lay(execution(steps, 6), ["l"]).rows.map((row) => row.path)).toEqual([
    "",
    "l",
    "l[9]",
    "l[10]",
    "b",
  ]);
});

test("blocks with few steps are open at first, and those around a failure", () => {
  const many = Array.from({ length: 100 }, (_, index) => step(`lines[${index}]/post`, 1, 2));
  expect(openBlocks(many).has("lines")).toBe(false);
  const failed = step("lines[7]/post", 1, 2, { state: "failed" });
  const open = openBlocks([...many.slice(0, 7), failed, ...many.slice(8)]);
  expect(open.has("lines")).toBe(true);
  expect(open.has("lines[7]")).toBe(true);
});

test("the time between the steps is shown as a gap", () => {
  const gaps = lay(execution([step("a", 1, 2), step("b", 5, 6)], 7)).rows.map((row) => row.gap);
  expect(gaps[2]).toEqual({ from: micros(at(2)), to: micros(at(5)) });
});

test("a scale without long idle times is even", () => {
  const even = scale(0, 100, [[0, 100]]);
  expect([0, 25, 50, 100].map(even.place)).toEqual([0, 0.25, 0.5, 1]);
  expect(even.breaks).toEqual([]);
});

test("a long idle time is compressed to a break that says how long it is", () => {
  const two = scale(0, 1_000_100, [
    [0, 50],
    [1_000_050, 1_000_100],
  ]);
  expect(two.breaks).toHaveLength(1);
  expect(two.breaks[0]?.duration).toBe(1_000_000);
  expect(two.place(50)).toBeCloseTo(0.455);
  expect(two.place(1_000_050)).toBeCloseTo(0.545);
});

test("places never go back, whatever is compressed", () => {
  const some = scale(0, 10_000, [
    [10, 20],
    [5000, 5010],
    [9000, 9100],
  ]);
  const places = Array.from({ length: 1001 }, (_, index) => some.place(index * 10));
  expect(places.every((place, index) => index === 0 || place >= (places[index - 1] ?? 0))).toBe(true);
  expect(places[0]).toBe(0);
  expect(places.at(-1)).toBe(1);
  expect(some.ticks.every((tick) => tick.at >= 0 && tick.at <= 1)).toBe(true);
});
