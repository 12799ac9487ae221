import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";
import { events } from "../api/events";
import { ApiError } from "../api/problem";
import { NO_FIELD_TEXTS } from "../code/editing";
import { isSameFlow } from "../document/format";
import { begin, end, localDraft, opened, settle } from "./draft_samples";
import { saveLocalDraft } from "./local_drafts";
import { freshText } from "./opening";
import { dropServerDraft, saveServerDraft } from "./server_drafts";

vi.mock("../document/format", async (load) => ({ ...(await load<object>()), isSameFlow: vi.fn() }));
vi.mock("./local_drafts");
vi.mock("./server_drafts");
vi.mock("./opening");
const keepHere = vi.mocked(saveLocalDraft);
const keepThere = vi.mocked(saveServerDraft);
const dropThere = vi.mocked(dropServerDraft);
const never = new Promise<never>(() => {});

let kept: ReturnType<typeof begin>;

beforeEach(() => {
  kept = begin();
});
afterEach(end);

describe("what is typed is in this browser within two seconds, although the server doesn't answer", () => {
  // Each number of milliseconds is another place in the middle of the deployment.
  it.each([0, 50, 99, 150, 1000])("%i ms after a deployment", async (wait) => {
    const { draft, type } = opened();
    type("new");
    await settle();
    keepThere.mockReturnValue(never);
    dropThere.mockReturnValue(never);
    draft.deployed("new", "two", NO_FIELD_TEXTS);
    await vi.advanceTimersByTimeAsync(wait);
    type("newer");
    await vi.advanceTimersByTimeAsync(2000);
    expect(kept.here).toBe("newer");
  });

  it("after the draft was discarded", async () => {
    const { draft, type } = opened();
    type("new");
    await settle();
    dropThere.mockReturnValue(never);
    draft.discard();
    await vi.advanceTimersByTimeAsync(1);
    type("newer");
    await vi.advanceTimersByTimeAsync(2000);
    expect(kept.here).toBe("newer");
  });
});

test("a draft that couldn't be sent isn't sent anew when it is discarded", async () => {
  keepThere.mockRejectedValueOnce(new ApiError(0, {}));
  const { draft, type } = opened();
  type("new");
  await settle();
  draft.discard();
  draft.save();
  await settle();
  expect([draft.state, kept.here, kept.there]).toEqual(["none", null, null]);
});

test("this browser knows whether the server got its text", async () => {
  const { type } = opened();
  type("one");
  await vi.advanceTimersByTimeAsync(815);
  expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: "one", sent: false }));
  await settle();
  expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: "one", sent: true, kept: "v1" }));
});

describe("a draft that was removed elsewhere, and was changed here", () => {
  const gone = () => {
    const draft = localDraft({ kept: "v1" });
    return opened({ draft, text: "mine", isGone: true });
  };

  it("isn't sent before somebody has looked at it, also not later", async () => {
    const { draft, type } = gone();
    await settle();
    type("more of mine");
    await settle();
    expect([draft.state, draft.isGone, kept.there]).toEqual(["local", true, null]);
    expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ kept: "v1", sent: false }));
  });

  it("is a draft again if somebody wants it", async () => {
    const { draft } = gone();
    draft.keepMine();
    await settle();
    expect([draft.state, draft.isGone, kept.there]).toEqual(["saved", false, "mine"]);
    expect(keepThere).toHaveBeenCalledWith("a", { text: "mine", base: "one-x" }, null);
  });

  it("isn't asked about any more once it is deployed", async () => {
    const { draft } = gone();
    draft.deployed("mine", "two", NO_FIELD_TEXTS);
    await settle();
    expect([draft.state, draft.isGone, kept.here, kept.there]).toEqual(["none", false, null, null]);
  });

  it("is what serves if somebody wants that", async () => {
    const { draft, editing } = gone();
    draft.discard();
    await settle();
    expect([draft.state, draft.isGone, kept.here, kept.there]).toEqual(["none", false, null, null]);
    expect(editing.document.text).toBe("served");
  });
});

test("what is typed is saved at once when the page is hidden", async () => {
  const { type } = opened();
  type("one");
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(20);
  expect(kept.here).toBeNull();
  Object.assign(document, { hidden: true });
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(20);
  expect(kept.here).toBe("one");
});

test("the browser asks before it leaves a text that is saved nowhere, and only then", async () => {
  const asks = () => {
    const event = new Event("beforeunload", { cancelable: true });
    Object.defineProperty(event, "returnValue", { writable: true });
    return !window.dispatchEvent(event);
  };
  keepHere.mockRejectedValueOnce(new Error("no room"));
  keepThere.mockRejectedValueOnce(new ApiError(0, {}));
  const { draft, type } = opened();
  expect(asks()).toBe(false);
  type("one");
  await settle();
  expect([draft.state, asks()]).toEqual(["failed", true]);
  draft.save();
  await settle();
  expect([draft.state, asks()]).toEqual(["saved", false]);
});

test("a draft that couldn't be sent says why, and is sent once the connection is back", async () => {
  let tell: (connection: "lost" | "open") => void = () => {};
  vi.spyOn(events, "watchConnection").mockImplementation((watcher) => {
    tell = watcher;
    return () => {};
  });
  const error = new ApiError(0, {});
  keepThere.mockRejectedValueOnce(error);
  const { draft, type } = opened();
  type("one");
  await settle();
  expect([draft.state, draft.problem, kept.there]).toEqual(["local", error, null]);
  tell("lost");
  tell("open");
  await settle();
  expect([draft.state, kept.there]).toEqual(["saved", "one"]);
});

describe("a deployment whose answer was lost", () => {
  it("has deployed the text if that serves now", async () => {
    const { draft, type } = opened();
    type("new");
    await settle();
    expect(await draft.isDeployedAfterAll()).toBe(false);
    draft.deployedPerhaps("new", NO_FIELD_TEXTS);
    vi.mocked(freshText).mockResolvedValue({ text: "new, formatted", base: "two-x" });
    vi.mocked(isSameFlow).mockReturnValue(true);
    const found = draft.isDeployedAfterAll();
    await settle();
    expect(await found).toBe(true);
    expect(vi.mocked(isSameFlow)).toHaveBeenCalledWith("new, formatted", "new", undefined);
    expect([draft.state, draft.base, kept.here, kept.there]).toEqual(["none", "two-x", null, null]);
  });

  it("has deployed nothing if another text serves", async () => {
    const { draft, type } = opened();
    type("new");
    await settle();
    draft.deployedPerhaps("new", NO_FIELD_TEXTS);
    vi.mocked(isSameFlow).mockReturnValue(false);
    expect(await draft.isDeployedAfterAll()).toBe(false);
    expect([draft.state, draft.base]).toEqual(["saved", "one-x"]);
  });
});

describe("a text that another tab goes on with", () => {
  it("is saved first, and never again", async () => {
    const { draft, type, close } = opened();
    type("one");
    draft.giveUp({ isTaken: false });
    await vi.advanceTimersByTimeAsync(20);
    expect(kept.here).toBe("one");
    kept.here = "of the other tab";
    close();
    await settle();
    expect([kept.here, kept.there]).toEqual(["of the other tab", null]);
  });

  it("isn't saved if the other tab went on already", async () => {
    keepThere.mockRejectedValueOnce(new ApiError(0, {}));
    const { draft, type, close } = opened();
    type("one");
    await settle();
    kept.here = "of the other tab";
    draft.giveUp({ isTaken: true });
    close();
    await settle();
    expect([kept.here, kept.there]).toEqual(["of the other tab", null]);
  });
});
