import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EditingLock } from "./editing_lock";

type Grant = () => Promise<void> | undefined;

/** A lock as browsers have it: one at a time, in the order of the requests, unless it is stolen. */
class FakeLock {
  private holder: { reject: (reason: Error) => void } | null = null;
  private readonly waiting = new Set<() => void>();

  request({ signal, steal }: { signal?: AbortSignal; steal?: boolean }, grant: Grant) {
    return new Promise<void>((resolve, reject) => {
      const hold = () => {
        this.waiting.delete(hold);
        const holder = { reject };
        this.holder = holder;
        Promise.resolve(grant()).then(() => {
          resolve();
          if (this.holder !== holder) return;
          this.holder = null;
          for (const next of this.waiting) return next();
        });
      };
      if (steal) this.holder?.reject(new DOMException("stolen", "AbortError"));
      if (steal || this.holder === null) return hold();
      this.waiting.add(hold);
      signal?.addEventListener("abort", () => {
        if (this.waiting.delete(hold)) reject(signal.reason);
      });
    });
  }
}

const listeners = new Set<{ onmessage: (event: { data: string }) => void }>();

class FakeChannel {
  onmessage = (_: { data: string }) => {};

  constructor() {
    listeners.add(this);
  }

  postMessage(data: string): void {
    for (const each of listeners) if (each !== this) each.onmessage({ data });
  }

  close(): void {
    listeners.delete(this);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  listeners.clear();
  vi.stubGlobal("BroadcastChannel", FakeChannel);
  const locks = new Map(["a", "b"].map((name) => [name, new FakeLock()]));
  const request = (name: string, ...more: Parameters<FakeLock["request"]>) =>
    locks.get(name)?.request(...more);
  vi.stubGlobal("navigator", { locks: { request } });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settle = () => vi.advanceTimersByTimeAsync(5000);

/** A tab that edits the flow `a`, or wants to. */
async function tab(name = "a") {
  const lock = new EditingLock(name, () => {});
  const giving = vi.fn(async (_: { isTaken: boolean }) => {});
  lock.beforeGiving = giving;
  lock.begin();
  await settle();
  return { lock, giving };
}

test("one tab edits a flow, and others edit other flows", async () => {
  const [one, other, elsewhere] = [await tab(), await tab(), await tab("b")];
  expect([one, other, elsewhere].map(({ lock }) => lock.isHeld)).toEqual([true, false, true]);
});

test("a tab saves before another one goes on", async () => {
  const [one, other] = [await tab(), await tab()];
  let saved = () => {};
  one.giving.mockReturnValue(
    new Promise((resolve) => {
      saved = resolve;
    }),
  );
  other.lock.take();
  await vi.advanceTimersByTimeAsync(500);
  expect([one.lock.isHeld, other.lock.isHeld]).toEqual([true, false]);
  saved();
  await settle();
  expect([one.lock.isHeld, other.lock.isHeld]).toEqual([false, true]);
  expect(one.giving.mock.calls).toEqual([[{ isTaken: false }]]);
  one.lock.take();
  await settle();
  expect([one.lock.isHeld, other.lock.isHeld]).toEqual([true, false]);
});

test("a tab whose last request hangs is read only once another one went on", async () => {
  const [one, other] = [await tab(), await tab()];
  one.giving.mockReturnValue(new Promise(() => {}));
  other.lock.take();
  await settle();
  expect([one.lock.isHeld, other.lock.isHeld]).toEqual([false, true]);
});

test("a tab that is suspended is told later that another one went on", async () => {
  const [one, other] = [await tab(), await tab()];
  listeners.clear();
  other.lock.take();
  await settle();
  expect([one.lock.isHeld, other.lock.isHeld]).toEqual([false, true]);
  expect(one.giving.mock.calls).toEqual([[{ isTaken: true }]]);
});

test("a flow whose tab was closed is edited in the next one", async () => {
  const one = await tab();
  const next = new EditingLock("a", () => {});
  next.begin();
  await vi.advanceTimersByTimeAsync(100);
  one.lock.end();
  await settle();
  expect(next.isHeld).toBe(true);
});

test("each tab edits the flow where browsers have no locks", async () => {
  vi.stubGlobal("navigator", {});
  expect([await tab(), await tab()].map(({ lock }) => lock.isHeld)).toEqual([true, true]);
});
