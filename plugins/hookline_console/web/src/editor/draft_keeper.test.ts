import { afterEach, beforeEach, describe, expect, it, test, vi } from "vitest";
import { ApiError } from "../api/problem";
import { NO_FIELD_TEXTS } from "../code/editing";
import { rollBack } from "./deployment";
import { begin, end, localDraft, opened, settle } from "./draft_samples";
import { saveLocalDraft } from "./local_drafts";
import { loadFlow } from "./opening";
import { dropServerDraft, loadServerDraft, saveServerDraft } from "./server_drafts";

vi.mock("./deployment", async (load) => ({ ...(await load<object>()), rollBack: vi.fn() }));
vi.mock("./local_drafts");
vi.mock("./server_drafts");
vi.mock("./opening");
const keepHere = vi.mocked(saveLocalDraft);
const keepThere = vi.mocked(saveServerDraft);
const dropThere = vi.mocked(dropServerDraft);

let kept: ReturnType<typeof begin>;

beforeEach(() => {
  kept = begin();
});
afterEach(end);

test("what is typed is soon in this browser, and on the server", async () => {
  const { draft, type } = opened();
  type("one");
  expect(draft.state).toBe("saving");
  await vi.advanceTimersByTimeAsync(1000);
  expect([draft.state, kept.here]).toEqual(["saved", "one"]);
  await settle();
  expect(kept.there).toBe("one");
  expect(keepHere).toHaveBeenLastCalledWith(
    expect.objectContaining({ text: "one", kept: "v1", base: "one-x" }),
  );
});

// Each number of milliseconds is another place in the middle of saving.
test.each([0, 100, 805, 815, 825, 900, 4000])(
  "nothing is left of what was deployed %i ms after it was typed",
  async (wait) => {
    keepHere.mockImplementation(async ({ text }) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      kept.here = text;
    });
    const { draft, type } = opened();
    type("new");
    await vi.advanceTimersByTimeAsync(wait);
    draft.deployed("new", "two", NO_FIELD_TEXTS);
    await settle();
    expect([draft.state, draft.base, kept.here, kept.there]).toEqual(["none", "two-x", null, null]);
  },
);

// Each is another place in the middle of forgetting: while the flow is loaded, and while the draft is removed.
test.each([5, 105, 115, 125])("what is typed %i ms after a deployment is a new draft", async (wait) => {
  const { draft, type } = opened();
  type("new");
  await settle();
  draft.deployed("new", "two", NO_FIELD_TEXTS);
  await vi.advanceTimersByTimeAsync(wait);
  type("newer");
  await settle();
  expect([draft.state, kept.here, kept.there]).toEqual(["saved", "newer", "newer"]);
  expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ base: "two-x" }));
});

test("a text continues the version that was deployed, and not one that serves since", async () => {
  vi.mocked(loadFlow).mockResolvedValue({ version: "three", tag: "three-x" });
  const { draft, type } = opened();
  type("new");
  draft.deployed("new", "two", NO_FIELD_TEXTS);
  await settle();
  expect(draft.base).toBe("two");
});

test("a draft that can't be removed stays a draft, of the version that serves now", async () => {
  dropThere.mockRejectedValueOnce(new ApiError(0, {}));
  const { draft, type } = opened();
  type("new");
  await settle();
  const done = expect(draft.deployed("new", "two", NO_FIELD_TEXTS)).rejects.toThrow();
  await settle();
  await done;
  expect([draft.state, draft.base, kept.here]).toEqual(["saved", "two-x", "new"]);
  expect(keepThere).toHaveBeenLastCalledWith("a", { text: "new", base: "two-x" }, "v1");
});

test("a draft in this browser doesn't wait for a server that doesn't answer", async () => {
  keepThere.mockReturnValue(new Promise(() => {}));
  const { draft, type } = opened();
  type("one");
  await settle();
  type("two");
  await settle();
  expect([draft.state, kept.here]).toEqual(["saving", "two"]);
});

test("a draft that the server doesn't get is said to be in this browser only, and is tried again", async () => {
  keepThere.mockRejectedValueOnce(new ApiError(0, {}));
  const { draft, type } = opened();
  type("one");
  await settle();
  expect([draft.state, kept.here, kept.there]).toEqual(["local", "one", null]);
  draft.save();
  await settle();
  expect([draft.state, kept.there]).toEqual(["saved", "one"]);
});

test("a draft of this browser that the server doesn't have is sent when the editor opens", async () => {
  const mine = localDraft();
  const { draft } = opened({ draft: mine, text: "mine", isSent: false });
  expect(draft.state).toBe("saving");
  await settle();
  expect([draft.state, kept.there]).toEqual(["saved", "mine"]);
  const again = opened({ draft: mine, text: "mine", isSent: true, known: "v1" });
  expect(again.draft.state).toBe("saved");
  await settle();
  expect(keepThere).toHaveBeenCalledTimes(1);
});

test("a draft of somebody who may no longer write stays in this browser", async () => {
  const mine = localDraft();
  const { draft, close } = opened({ draft: mine, text: "mine", isSent: false, mayWrite: false });
  await settle();
  close();
  await settle();
  expect(draft.state).toBe("local");
  expect(keepThere).not.toHaveBeenCalled();
  expect(keepHere).not.toHaveBeenCalled();
});

test("a letter that is taken back at once leaves the draft as it was", async () => {
  const { draft, type } = opened();
  type("served.");
  type("served");
  await settle();
  expect([draft.state, kept.here]).toEqual(["none", null]);
});

test("a browser that can't keep a draft says so, and tries again", async () => {
  keepHere.mockRejectedValueOnce(new Error("no room"));
  keepThere.mockRejectedValueOnce(new ApiError(0, {}));
  keepThere.mockReturnValue(new Promise(() => {}));
  const { draft, type } = opened();
  type("one");
  await settle();
  // It isn't in this browser only, but nowhere.
  expect(draft.state).toBe("failed");
  draft.save();
  await settle();
  expect([draft.state, kept.here]).toEqual(["saving", "one"]);
});

test("a draft that only the server could keep is saved", async () => {
  keepHere.mockRejectedValue(new Error("no room"));
  const { draft, type } = opened();
  type("one");
  await settle();
  expect([draft.state, kept.here, kept.there]).toEqual(["saved", null, "one"]);
});

describe("another draft on the server", () => {
  const other = {
    flow_id: "a",
    version: "theirs",
    base: "two",
    size: 6,
    updated_at: "",
    updated_by: "jo",
    text: "theirs",
  };

  /** A draft that meets another one while it is saved. */
  async function met() {
    const made = opened();
    keepThere.mockRejectedValueOnce(new ApiError(412, {}));
    vi.mocked(loadServerDraft).mockResolvedValue(other);
    kept.there = other.text;
    made.type("mine");
    await settle();
    keepThere.mockClear();
    return made;
  }

  it("isn't replaced until somebody has looked at it", async () => {
    const { draft, type } = await met();
    type("more of mine");
    await settle();
    expect([draft.state, draft.other, kept.here, kept.there]).toEqual([
      "local",
      other,
      "more of mine",
      "theirs",
    ]);
  });

  it("is continued, and is never overwritten by the text that was in the editor", async () => {
    const { draft, editing } = await met();
    draft.takeOther();
    await settle();
    expect(keepThere.mock.calls).toEqual([["a", { text: "theirs", base: "two-x" }, "theirs"]]);
    expect([draft.state, draft.base, kept.here, editing.document.text]).toEqual([
      "saved",
      "two-x",
      "theirs",
      "theirs",
    ]);
  });

  it("is replaced by the text in the editor", async () => {
    const { draft } = await met();
    draft.keepMine();
    await settle();
    expect(keepThere.mock.calls).toEqual([["a", { text: "mine", base: "one-x" }, "theirs"]]);
    expect([draft.state, draft.other, kept.there]).toEqual(["saved", null, "mine"]);
  });

  it("stays as it is while nothing is typed into what serves", async () => {
    const { draft } = opened({ other });
    draft.keepMine();
    await settle();
    expect([draft.state, draft.other]).toEqual(["none", null]);
    expect(keepThere).not.toHaveBeenCalled();
  });
});

test("a draft that is discarded is what serves again", async () => {
  const { draft, type, editing } = opened();
  type("new");
  await settle();
  draft.discard();
  await settle();
  expect([draft.state, draft.base, kept.here, kept.there]).toEqual(["none", "two-x", null, null]);
  expect(editing.document.text).toBe("served");
});

test("a text that replaces the version of somebody else is kept with this version as its base", async () => {
  const { draft, type } = opened();
  type("mine");
  await settle();
  draft.rebase("two-x");
  await settle();
  expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: "mine", base: "two-x" }));
  expect(keepThere).toHaveBeenLastCalledWith("a", { text: "mine", base: "two-x" }, "v1");
});

describe("a closed editor", () => {
  it("sends its text at once, and leaves the draft in this browser to the next editor", async () => {
    const { type, close } = opened();
    type("one");
    await settle();
    type("two");
    await vi.advanceTimersByTimeAsync(1000);
    type("three");
    close();
    await vi.advanceTimersByTimeAsync(30);
    expect([kept.here, kept.there]).toEqual(["three", "three"]);
    kept.here = "of the next editor";
    await settle();
    expect(kept.here).toBe("of the next editor");
  });

  it("makes no draft when its deployment is rolled back", async () => {
    const { draft, close } = opened();
    close();
    draft.rolledBack("one");
    await settle();
    expect(vi.mocked(rollBack)).toHaveBeenCalledWith("a", "one");
    expect([kept.here, kept.there]).toEqual([null, null]);
  });
});
