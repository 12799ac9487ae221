import { beforeEach, expect, test, vi } from "vitest";
import { Reloads } from "./reloads";

const SETTLE_MS = 400;

/** Loads that answer when the test lets them. */
function setUp(apartMs = 0) {
  const started: { signal: AbortSignal; answer: () => Promise<void> }[] = [];
  const page = { isHidden: false };
  const reloads = new Reloads({
    load: (signal) =>
      new Promise((resolve) => {
        started.push({
          signal,
          answer: async () => {
            resolve();
            await vi.advanceTimersByTimeAsync(0);
          },
        });
      }),
    settleMs: SETTLE_MS,
    apartMs,
    isHidden: () => page.isHidden,
  });
  return { reloads, started, page };
}

const settle = () => vi.advanceTimersByTimeAsync(SETTLE_MS);

beforeEach(() => {
  vi.useFakeTimers();
});

test("events in a burst are one load", async () => {
  const { reloads, started } = setUp();
  for (let count = 0; count < 100; count += 1) reloads.soon();
  await settle();
  expect(started).toHaveLength(1);
});

test("the first event is shown soon, and further ones so far apart", async () => {
  const { reloads, started } = setUp(5000);
  reloads.soon();
  await settle();
  expect(started).toHaveLength(1);
  await started[0]?.answer();
  reloads.soon();
  await vi.advanceTimersByTimeAsync(4900);
  expect(started).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(100);
  expect(started).toHaveLength(2);
});

test("a slow load isn't given up for events, and what happened meanwhile is loaded after it", async () => {
  const { reloads, started } = setUp();
  reloads.now();
  reloads.soon();
  await settle();
  expect(started).toHaveLength(1);
  expect(started[0]?.signal.aborted).toBe(false);
  await started[0]?.answer();
  await settle();
  expect(started).toHaveLength(2);
  await started[1]?.answer();
  await settle();
  expect(started).toHaveLength(2);
});

test("a load that is asked for replaces one that runs, whose end begins no other", async () => {
  const { reloads, started } = setUp();
  reloads.now();
  reloads.soon();
  reloads.now();
  expect(started.map(({ signal }) => signal.aborted)).toEqual([true, false]);
  await started[0]?.answer();
  await settle();
  expect(started).toHaveLength(2);
});

test("what happens while the page is hidden is loaded once it is shown", async () => {
  const { reloads, started, page } = setUp();
  page.isHidden = true;
  reloads.soon();
  await settle();
  expect(started).toHaveLength(0);
  page.isHidden = false;
  reloads.shown();
  await settle();
  expect(started).toHaveLength(1);
});

test("nothing is loaded after the end", async () => {
  const { reloads, started } = setUp();
  reloads.now();
  reloads.soon();
  reloads.stop();
  await started[0]?.answer();
  await settle();
  expect(started).toHaveLength(1);
  expect(started[0]?.signal.aborted).toBe(true);
});
