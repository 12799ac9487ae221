import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Latest } from "./latest";

const seen: unknown[] = [];
const make = () =>
  new Latest<string>({
    delayMs: 100,
    patienceMs: 1000,
    done: (value) => seen.push(value),
    failed: (error) => seen.push(error),
  });
const answered = (ms: number, value: string) => (signal: AbortSignal) =>
  new Promise<string>((resolve, reject) => {
    setTimeout(() => resolve(value), ms);
    signal.addEventListener("abort", () => reject(new Error("aborted")));
  });

beforeEach(() => {
  seen.length = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the latest request", () => {
  it("waits until nobody types", async () => {
    const latest = make();
    for (const value of ["a", "ab", "abc"]) {
      latest.ask(answered(10, value));
      await vi.advanceTimersByTimeAsync(50);
    }
    await vi.advanceTimersByTimeAsync(200);
    expect(seen).toEqual(["abc"]);
  });

  it("follows the one that runs, whose answer is dropped", async () => {
    const latest = make();
    latest.ask(answered(500, "old"));
    await vi.advanceTimersByTimeAsync(200);
    latest.ask(answered(10, "new"));
    await vi.advanceTimersByTimeAsync(1000);
    expect(seen).toEqual(["new"]);
  });

  it("aborts a stale one that takes long", async () => {
    const latest = make();
    latest.ask(answered(60_000, "old"));
    await vi.advanceTimersByTimeAsync(200);
    latest.ask(answered(10, "new"));
    await vi.advanceTimersByTimeAsync(1200);
    expect(seen).toEqual(["new"]);
  });

  it("tells nothing after it was stopped", async () => {
    const latest = make();
    latest.ask(answered(10, "late"));
    await vi.advanceTimersByTimeAsync(105);
    latest.stop();
    await vi.advanceTimersByTimeAsync(100);
    expect(seen).toEqual([]);
  });
});
