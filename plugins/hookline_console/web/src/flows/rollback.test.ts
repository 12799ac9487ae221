import { expect, test, vi } from "vitest";
import { api } from "../api/client";
import { ApiError } from "../api/problem";
import { rollBack } from "./rollback";

vi.mock("../api/client", () => ({ api: { POST: vi.fn() }, body: (call: Promise<unknown>) => call }));

const answers = (error: ApiError) => vi.mocked(api.POST).mockRejectedValueOnce(error);

test("an error that asks for a decision is a question, and decisions are sent together", async () => {
  answers(new ApiError(409, { code: "flow.unpublished_changes", detail: "the file has changed" }));
  expect(await rollBack("a", "one", {})).toEqual({ decision: "force", detail: "the file has changed" });
  answers(new ApiError(409, { code: "flow.poll_starts_anew", detail: "the poll has changed" }));
  expect(await rollBack("a", "one", { force: true })).toMatchObject({ decision: "existing" });
  vi.mocked(api.POST).mockResolvedValueOnce({ version: "one", pending: [] } as never);
  expect(await rollBack("a", "one", { force: true, existing: false })).toMatchObject({ version: "one" });
  expect(vi.mocked(api.POST).mock.lastCall?.[1]).toMatchObject({
    body: { version: "one", force: true, existing: false },
  });
});

test("any other error is thrown", async () => {
  const gone = new ApiError(404, { code: "version.not_found" });
  answers(gone);
  await expect(rollBack("a", "one", {})).rejects.toBe(gone);
});
