import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_FIELD_TEXTS } from "../code/editing";
import { begin, end, opened, settle } from "./draft_samples";
import { saveLocalDraft } from "./local_drafts";
import { saveServerDraft } from "./server_drafts";

vi.mock("../document/format", () => ({ isSameFlow: () => true }));
vi.mock("./local_drafts");
vi.mock("./server_drafts");
vi.mock("./opening");
const keepHere = vi.mocked(saveLocalDraft);

let kept: ReturnType<typeof begin>;

beforeEach(() => {
  kept = begin();
});
afterEach(end);

describe("the text of a field that isn't in the document yet", () => {
  const fields = new Map([["/id", { text: "b", shown: "a" }]]);

  it("is kept in this browser, and makes no draft on the server", async () => {
    const { draft, editing } = opened();
    editing.setFieldTexts(fields);
    await vi.advanceTimersByTimeAsync(2000);
    expect(draft.state).toBe("fields");
    expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: null, fields }));
    await settle();
    expect(vi.mocked(saveServerDraft)).not.toHaveBeenCalled();
  });

  it("is kept beside a text that the server has", async () => {
    const { draft, type, editing } = opened();
    type("one");
    await settle();
    editing.setFieldTexts(fields);
    await settle();
    expect(draft.state).toBe("fields");
    expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: "one", sent: true, fields }));
    expect(vi.mocked(saveServerDraft)).toHaveBeenCalledTimes(1);
  });

  it("is there again when the editor opens", async () => {
    const { draft, editing } = opened({ fields });
    expect([draft.state, editing.fieldTexts]).toEqual(["fields", fields]);
  });

  it.each(["deployed", "discarded"])("is forgotten with a draft that is %s", async (how) => {
    const { draft, editing } = opened({ fields });
    if (how === "deployed") draft.deployed("served", "two", fields);
    else draft.discard();
    await settle();
    expect([draft.state, editing.fieldTexts.size, kept.here]).toEqual(["none", 0, null]);
  });

  it("stays if it was typed after the draft was deployed", async () => {
    const { draft, editing } = opened();
    draft.deployed("served", "two", NO_FIELD_TEXTS);
    await vi.advanceTimersByTimeAsync(5);
    editing.setFieldTexts(fields);
    await settle();
    expect(draft.state).toBe("fields");
    expect(keepHere).toHaveBeenLastCalledWith(expect.objectContaining({ text: null, fields }));
  });

  it.each([
    ["stays", "after"],
    ["is forgotten", "before"],
  ])("%s if it was typed %s a deployment that served without an answer", async (_, when) => {
    const { draft, editing } = opened();
    if (when === "before") editing.setFieldTexts(fields);
    draft.deployedPerhaps("served", editing.fieldTexts);
    if (when === "after") editing.setFieldTexts(fields);
    const found = draft.isDeployedAfterAll();
    await settle();
    expect(await found).toBe(true);
    const left = when === "after" ? ["fields", fields] : ["none", NO_FIELD_TEXTS];
    expect([draft.state, editing.fieldTexts]).toEqual(left);
  });
});
