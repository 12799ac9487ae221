import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../api/problem";
import { ServerCopy } from "./server_copy";
import { dropServerDraft, loadServerDraft, saveServerDraft } from "./server_drafts";

vi.mock("./server_drafts");
const save = vi.mocked(saveServerDraft);
const load = vi.mocked(loadServerDraft);

const theirs = {
  flow_id: "a",
  version: "theirs",
  base: null,
  size: 1,
  updated_at: "2026-01-31T08:00:00Z",
  updated_by: "token:jo",
  text: "x",
};
const events = { saved: vi.fn(), conflict: vi.fn(), failed: vi.fn() };

beforeEach(() => {
  vi.useFakeTimers();
  vi.resetAllMocks();
  save.mockResolvedValue("v2");
});
afterEach(() => vi.useRealTimers());

const copyOf = (known: string | null, isHeld = false) => new ServerCopy("a", known, isHeld, events);
const settle = () => vi.advanceTimersByTimeAsync(10_000);

test("the last text is saved over the version that is known", async () => {
  const copy = copyOf("v1");
  copy.save("one", null);
  copy.save("two", "base");
  await settle();
  expect(save.mock.calls).toEqual([["a", { text: "two", base: "base" }, "v1"]]);
  expect(events.saved).toHaveBeenCalledWith("v2", "two");
  copy.save("three", "base");
  await settle();
  expect(save).toHaveBeenLastCalledWith("a", { text: "three", base: "base" }, "v2");
});

test("somebody who types saves only now and then", async () => {
  const copy = copyOf(null);
  for (let count = 0; count < 60; count += 1) {
    copy.save(`text ${count}`, null);
    await vi.advanceTimersByTimeAsync(100);
  }
  await settle();
  expect(save.mock.calls.length).toBeGreaterThanOrEqual(2);
  expect(save.mock.calls.length).toBeLessThanOrEqual(4);
  expect(save).toHaveBeenLastCalledWith("a", { text: "text 59", base: null }, "v2");
});

test("the draft of somebody else isn't replaced before it was chosen", async () => {
  save.mockRejectedValueOnce(new ApiError(412, {}));
  load.mockResolvedValue(theirs);
  const copy = copyOf("v1");
  copy.save("mine", null);
  await settle();
  expect(events.conflict).toHaveBeenCalledWith(theirs);
  copy.save("more of mine", null);
  await settle();
  expect(save).toHaveBeenCalledTimes(1);
  copy.choose("theirs");
  await settle();
  expect(save).toHaveBeenCalledTimes(1);
  copy.save("chosen", null);
  await settle();
  expect(save).toHaveBeenLastCalledWith("a", { text: "chosen", base: null }, "theirs");
});

test("a draft whose answer was lost is no draft of somebody else", async () => {
  save.mockRejectedValueOnce(new ApiError(0, {}));
  const copy = copyOf("v1");
  copy.save("one", null);
  await settle();
  save.mockRejectedValueOnce(new ApiError(412, {}));
  load.mockResolvedValue({ ...theirs, version: "v2", text: "one" });
  copy.save("two", null);
  await settle();
  expect(events.conflict).not.toHaveBeenCalled();
  expect(save).toHaveBeenLastCalledWith("a", { text: "two", base: null }, "v2");
});

test("a text that was to be saved soon is saved when its editor is left", async () => {
  const copy = copyOf("v1");
  copy.save("one", null);
  await settle();
  copy.save("two", null);
  copy.save("three", null);
  copy.leave();
  await vi.advanceTimersByTimeAsync(0);
  expect(save).toHaveBeenLastCalledWith("a", { text: "three", base: null }, "v2");
  copy.leave();
  await settle();
  expect(save).toHaveBeenCalledTimes(2);
});

test("a draft that somebody has removed is saved as a new one", async () => {
  save.mockRejectedValueOnce(new ApiError(412, {}));
  load.mockResolvedValue(null);
  copyOf("v1").save("mine", null);
  await settle();
  expect(save).toHaveBeenLastCalledWith("a", { text: "mine", base: null }, null);
});

test("a server that can't be reached is told, and the next text is tried", async () => {
  save.mockRejectedValueOnce(new ApiError(0, {}));
  const copy = copyOf(null);
  copy.save("one", null);
  await settle();
  expect(events.failed).toHaveBeenCalledOnce();
  copy.save("two", null);
  await settle();
  expect(events.saved).toHaveBeenCalledWith("v2", "two");
});

test("a text that couldn't be sent is sent by itself later", async () => {
  save.mockRejectedValueOnce(new ApiError(503, {})).mockRejectedValueOnce(new ApiError(0, {}));
  copyOf(null).save("one", null);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(events.failed).toHaveBeenCalledTimes(2);
  expect(events.saved).toHaveBeenCalledExactlyOnceWith(expect.anything(), "one");
});

test("a text that the server rejects isn't sent again by itself", async () => {
  save.mockRejectedValueOnce(new ApiError(403, {}));
  copyOf(null).save("one", null);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(save).toHaveBeenCalledTimes(1);
});

test("nothing is saved after the draft was dropped", async () => {
  const copy = copyOf("v1");
  copy.save("one", null);
  await copy.drop();
  await settle();
  expect(save).not.toHaveBeenCalled();
  expect(vi.mocked(dropServerDraft)).toHaveBeenCalledWith("a", "v1");
});

test("a save that fails while the draft is dropped doesn't bring the draft back", async () => {
  save.mockImplementationOnce(async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    throw new ApiError(412, {});
  });
  load.mockResolvedValue(null);
  const copy = copyOf("v1");
  copy.save("one", null);
  await vi.advanceTimersByTimeAsync(50);
  copy.drop();
  await settle();
  expect(save).toHaveBeenCalledTimes(1);
});

test("a draft that couldn't be removed is still one's own", async () => {
  vi.mocked(dropServerDraft).mockRejectedValueOnce(new ApiError(0, {}));
  const copy = copyOf("v1");
  await expect(copy.drop()).rejects.toThrow();
  copy.save("one", null);
  await settle();
  expect(save).toHaveBeenCalledWith("a", { text: "one", base: null }, "v1");
});
